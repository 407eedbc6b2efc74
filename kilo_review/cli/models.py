"""`kilo-review models`: what the servers on this machine offer, and which model a review would ask."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from kilo_review import config, models
from kilo_review.cli.options import CONTEXT, with_options
from kilo_review.cli.run import prepare
from kilo_review.cli.tell import tell
from kilo_review.core.errors import KiloReviewError
from kilo_review.judge.policy import ExitCode
from kilo_review.models.choose import is_usable
from kilo_review.models.survey import look
from kilo_review.sanitize.terminal import one_line, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kilo_review.core.outcome import ModelInfo
    from kilo_review.models.base import ModelRequest, Survey
    from kilo_review.models.choose import Offer
    from kilo_review.models.survey import Look

GIGA = 1e9


@click.command("models", context_settings=CONTEXT)
@with_options
@click.pass_context
def models_command(ctx: click.Context, /, **flags: Any) -> int:  # noqa: ANN401
    """List what each running server offers, and the model that a review would ask (exit 3 if there is none)."""
    run = prepare(ctx, flags)
    request = run.settings.model_request(config.environment())
    found = look(request, [], run.deadline)
    chosen, problem = _chosen(request, run.deadline)
    code = ExitCode.PASS if chosen else ExitCode.NOT_REVIEWED
    if flags["format_"] == "json":
        return tell(_json(found, chosen, problem), flags["output"], code, is_json=True)
    return tell("\n".join(_lines(found, chosen, problem)), flags["output"], code)


def _chosen(request: ModelRequest, deadline: Any) -> tuple[ModelInfo | None, str]:  # noqa: ANN401
    """What a review would ask, or why it could not."""
    try:
        model = models.connect(request, [], deadline)
    except KiloReviewError as error:
        return None, str(error)
    model.close()
    return model.info, ""


def _lines(found: Sequence[Look], chosen: ModelInfo | None, problem: str) -> Iterator[str]:
    for each in found:
        if each.survey is not None:
            yield from _survey_lines(each.survey)
        elif each.is_there and each.problem is not None:
            yield f"{each.url}: {one_line(str(each.problem))}"
    if chosen is None:
        yield f"kilo-review: nothing can be asked: {one_line(problem)}"
        return
    where = f" at {chosen.base_url}" if chosen.base_url and chosen.provider != "embedded" else ""
    window = f", window {chosen.window}" if chosen.window else ""
    yield f"kilo-review: a review would ask {one_line(chosen.name)} ({chosen.provider}{where}; {chosen.why}{window})"


def _survey_lines(survey: Survey) -> Iterator[str]:
    facts = [f"{one_line(survey.server)}{f' {one_line(survey.version)}' if survey.version else ''}"]
    facts += [] if survey.is_local else ["NOT this machine"]
    facts += [f"{survey.slots} at a time"] if survey.slots else []
    facts += ["cloud models are switched on"] if survey.cloud else []
    yield f"{survey.url} ({', '.join(facts)})" if survey.url else ", ".join(facts)
    width = max((len(one_line(each.name)) for each in survey.offers), default=0)
    for offer in survey.offers:
        yield f"  {one_line(offer.name):<{width}}  {', '.join(_words(offer))}"
    if not survey.offers:
        yield "  no models"


def _words(offer: Offer) -> list[str]:
    if offer.elsewhere:
        return [f"runs on {one_line(offer.elsewhere)}: never asked"]
    words = [f"{offer.size / GIGA:.1f} GB"] if offer.size else []
    words += ["loaded"] if offer.is_loaded else [offer.state] if offer.state else []
    words += [f"window {offer.window}"] if offer.window else []
    words += [f"window up to {offer.largest}"] if offer.largest and not offer.window else []
    if offer.is_loaded and offer.on_gpu is not None:
        words.append(
            "on the CPU"
            if offer.on_gpu == 0
            else f"{offer.on_gpu:.0%} on the GPU"
            if offer.on_gpu < 1
            else "on the GPU"
        )
    words += [] if is_usable(offer) else ["cannot chat"]
    return words or ["nothing more is told"]


def _json(found: Sequence[Look], chosen: ModelInfo | None, problem: str) -> str:
    servers = [
        {
            "provider": each.provider,
            "url": each.url,
            "server": each.survey.server if each.survey else None,
            "version": (printable(each.survey.version) or None) if each.survey else None,
            "local": each.survey.is_local if each.survey else None,
            "cloud": each.survey.cloud if each.survey else None,
            "slots": each.survey.slots if each.survey else None,
            "problem": str(each.problem) if each.problem else None,
            "models": [_row(offer) for offer in each.survey.offers] if each.survey else [],
        }
        for each in found
        if each.is_there
    ]
    would_ask = chosen and {
        "provider": chosen.provider,
        "name": printable(chosen.name),
        "base_url": chosen.base_url,
        "window": chosen.window,
        "local": chosen.local,
        "why": chosen.why,
    }
    return json.dumps({"version": 1, "servers": servers, "chosen": would_ask, "problem": problem or None}, indent=1)


def _row(offer: Offer) -> dict[str, Any]:
    return {
        "name": printable(offer.name),
        "loaded": offer.is_loaded,
        "state": offer.state or None,
        "window": offer.window,
        "largest_window": offer.largest,
        "size": offer.size or None,
        "on_gpu": offer.on_gpu,
        "chat": is_usable(offer) or bool(offer.elsewhere),
        "elsewhere": printable(offer.elsewhere) or None,
    }
