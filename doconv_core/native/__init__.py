"""The optional compiled kernel: the two products of composition, for rows of nine float32."""
