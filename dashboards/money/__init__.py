"""Money as pages show it, without Streamlit: what was spent, what it will be, and a month's statement."""
