"""One adapter for each training framework, behind one contract."""
