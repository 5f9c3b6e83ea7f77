"""What was drawn, as Matplotlib knows it."""

from __future__ import annotations

from dogcat.core import plot_style


def of_finished_plots(monkeypatch):
    """A list that gets the axes of each plot as they are when it is finished."""
    axes = []

    def png(figure):
        figure.canvas.draw()
        axes.extend(figure.axes)
        return b""

    monkeypatch.setattr(plot_style, "png", png)
    return axes
