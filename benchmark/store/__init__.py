"""Where results are kept: record files, and MLflow behind them."""
