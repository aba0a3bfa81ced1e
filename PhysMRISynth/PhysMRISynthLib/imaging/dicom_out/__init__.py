"""Results as DICOM: Parametric Maps of tissue properties and classic MR series of rendered contrasts. Needs pydicom and highdicom."""
