"""open_clip's own trainer on a resharded subset, with DataComp's arguments."""
