"""The sizes of the layers beside DO-Conv: CondConv and XSepConv."""
