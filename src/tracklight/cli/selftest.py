"""Placeholder until helper writes it."""

import typer

app = typer.Typer()


@app.command()
def crash() -> None: ...
@app.callback()
def _x() -> None: ...
