"""Pages for stakeholders and data scientists. They read; nothing is changed from here."""
