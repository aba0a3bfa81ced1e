"""What is written: maps, reports, tables, pictures, DICOM."""
