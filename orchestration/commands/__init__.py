"""The commands of `personae`, by what they are about; `orchestration/cli.py` names them."""
