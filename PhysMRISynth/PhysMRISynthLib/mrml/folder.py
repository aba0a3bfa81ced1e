"""The subject-hierarchy folder of a run."""

from __future__ import annotations

from typing import Any


def createFolder(scene: Any, name: str, besideNode: Any = None) -> int:
    """A new folder, beside ``besideNode`` where that is in the hierarchy; its item ID."""
    hierarchy = scene.GetSubjectHierarchyNode()
    item = hierarchy.GetItemByDataNode(besideNode) if besideNode is not None else hierarchy.GetInvalidItemID()
    parent = hierarchy.GetItemParent(item) if item != hierarchy.GetInvalidItemID() else hierarchy.GetSceneItemID()
    return hierarchy.CreateFolderItem(parent, name)


def putInto(scene: Any, folder: int, node: Any) -> None:
    """Move a node's item into a folder, making the item where nothing has made it yet (without Slicer's plugins nothing does)."""
    hierarchy = scene.GetSubjectHierarchyNode()
    item = hierarchy.GetItemByDataNode(node)
    if item == hierarchy.GetInvalidItemID():
        hierarchy.CreateItem(folder, node)
    else:
        hierarchy.SetItemParent(item, folder)


def takeOut(scene: Any, node: Any) -> None:
    """Remove a node's item, not the node (with Slicer's plugins the item would go with the node, without them it would stay)."""
    hierarchy = scene.GetSubjectHierarchyNode()
    item = hierarchy.GetItemByDataNode(node)
    if item != hierarchy.GetInvalidItemID():
        hierarchy.RemoveItem(item, False, False)


def folderOf(scene: Any, node: Any) -> int:
    """The item that a node's item lies in (the scene's own item where it has none)."""
    hierarchy = scene.GetSubjectHierarchyNode()
    item = hierarchy.GetItemByDataNode(node)
    return hierarchy.GetItemParent(item) if item != hierarchy.GetInvalidItemID() else hierarchy.GetSceneItemID()


def removeEmpty(scene: Any, folder: int) -> None:
    """Remove a folder in which nothing is left."""
    hierarchy = scene.GetSubjectHierarchyNode()
    if hierarchy.GetItemLevel(folder) == "Folder" and not hierarchy.GetNumberOfItemChildren(folder):
        hierarchy.RemoveItem(folder)
