"""Reports: output on the terminal, HTML pages, plots and cards."""
