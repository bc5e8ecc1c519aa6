"""How good fitted directions get with the number of labelled samples: the table of docs/directions.md.

    python scripts/bench_directions.py

Samples of the bundled generator are labelled by the judge, as a person would label them. Each direction then
moves 150 other samples by two deviations of the codes along it, and the judge reads what moved. Means over
eight attributes.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
from torch import Tensor

from ganinv.api import load_backbone
from ganinv.editing.attributes import codes_of_seeds
from ganinv.editing.directions import load_directions
from ganinv.editing.fit import fit_boundary, project_out
from ganinv.metrics.judge import load_judge
from ganinv.metrics.readings import READ_AS as EDITED

READ_AS = {name: attribute for name, attribute in EDITED.items() if name != "glasses"}  # hardly any has them
STEP = 2.0


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--counts", type=int, nargs="+", default=[100, 200, 500, 2000])
    parser.add_argument("--tested", type=int, default=150)
    args = parser.parse_args()

    backbone, judge = load_backbone("portraits-64"), load_judge("portraits-64")
    columns = [judge.column(attribute) for attribute in READ_AS.values()]

    def read(ws: Tensor) -> Tensor:
        parts = [backbone.synthesize(part).images.clamp(-1, 1) for part in ws.split(100)]
        return torch.cat([judge.read(part)[:, columns] for part in parts])

    labelled = codes_of_seeds(backbone, range(max(args.counts)))
    codes, labels = labelled[:, 0], read(labelled)
    tested = codes_of_seeds(backbone, range(100_000, 100_000 + args.tested))
    before, deviation = read(tested), labels.std(0)
    known: dict[str, Any] = load_directions(backbone, stored=False)
    bundled = [known[name].vector[0] for name in READ_AS]

    def tell(what: str, accuracy: str, normals: list[Tensor]) -> None:
        rows = []
        for own, normal in enumerate(normals):
            length = STEP * (codes @ normal).std()
            moved = ((read(tested + length * normal) - before) / deviation).mean(0).abs()
            others = torch.cat([moved[:own], moved[own + 1 :]])
            rows.append(torch.stack([normal @ bundled[own], moved[own], others.max() / moved[own]]))
        cosine, own_move, other = torch.stack(rows).mean(0).tolist()
        print(f"| {what} | {accuracy} | {cosine:.2f} | {own_move:.2f} | {other:.2f} |", flush=True)

    print("| fit | held-out, % | cosine with the bundled one | own move, s.d. | largest other / own |")
    print("|---|---|---|---|---|")
    tell("bundled (40,000 codes, true attributes)", "", bundled)
    for count in args.counts:
        for model in ("svm", "logistic"):
            fits = [fit_boundary(codes[:count], column[:count], model=model) for column in labels.T]  # type: ignore[arg-type]
            accuracy = f"{100 * sum(fit.accuracy for fit in fits) / len(fits):.0f}"
            normals = [fit.normal for fit in fits]
            tell(f"{count} labels, {model}", accuracy, normals)
            stacked = torch.stack(normals)
            others = [torch.cat([stacked[:i], stacked[i + 1 :]]) for i in range(len(normals))]
            projected = [project_out(n, rest) for n, rest in zip(normals, others, strict=True)]
            tell(f"{count} labels, {model}, orthogonal", "", projected)
        yes = labels[:count] > labels[:count].median(0).values
        fits = [fit_boundary(codes[:count], column.float()) for column in yes.T]
        accuracy = f"{100 * sum(fit.accuracy for fit in fits) / len(fits):.0f}"
        tell(f"{count} labels of yes or no, svm", accuracy, [fit.normal for fit in fits])


if __name__ == "__main__":
    main()
