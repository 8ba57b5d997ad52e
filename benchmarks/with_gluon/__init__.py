"""The subjects in Gluon."""
