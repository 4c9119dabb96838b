/** Sparse against dense attention without labels: distributions, and what selection reaches. */
import type { Json } from "../../tasks/task.ts";
import type { Figures, ResultRecord } from "../../results/record.ts";
import type { ChartSpec } from "../chart.ts";
import { finished, numberIn, textOf, tokens } from "../latest.ts";
import type { Chart, Headline, ReportPart, Table } from "../section.ts";
import { colour, seriesScale, stepInk } from "../theme.ts";
import { answerTable, gridIn, objectIn, percent } from "./answers.ts";
import { outlierTable, outlierText } from "./outliers.ts";
import { stepColour, thresholds } from "./scores.ts";

interface Distribution {
  readonly method: string;
  readonly length: number;
  readonly positions: number | undefined;
  readonly kl: number;
  readonly medianKl: number | undefined;
  readonly largestKl: number | undefined;
  /** Share of the summed KL that the worst hundredth of positions adds. */
  readonly worstShare: number | undefined;
  readonly sameTop: number;
  readonly parts: readonly { readonly to: number; readonly kl: number }[];
}

interface Selected {
  readonly length: number;
  readonly blocks: number;
  readonly figures: Figures;
}

const kinds = [
  ["approx", "approximate LSE"],
  ["exact", "exact LSE"],
  ["forced", "forced alone"],
  ["best", "best choice"],
] as const;

export function agreementPart(records: readonly ResultRecord[]): ReportPart | undefined {
  const own = finished(records, "agreement");
  const distributions = own.flatMap(distributionOf);
  const selections = own.flatMap(selectedOf);
  if (distributions.length === 0 && selections.length === 0) return undefined;
  const methods = [...new Set(distributions.map(({ method }) => method))];
  const charts: Chart[] = [
    ...(distributions.length > 0
      ? [
          { title: "How far distributions are from full attention's", caption: "KL divergence in nats per token by method and length, logarithmic. Further left is closer to full attention.", spec: klDots(distributions, methods) },
          ...klByPosition(distributions, methods),
        ]
      : []),
    ...(selections.length > 0
      ? [
          { title: "Dense attention that the blocks hold", caption: "By what chooses the blocks; mean over layers, heads and queries that must choose. The gap to the best choice of as many blocks is what selection misses; forced alone are the first blocks and the window.", spec: recallBars(selections) },
          ...recallMaps(selections),
        ]
      : []),
  ];
  const tables: Table[] = [
    ...(distributions.length > 0
      ? [{
          title: "Distributions against full attention",
          head: ["method", "tokens", "positions", "mean KL, nats", "median KL", "largest KL", "of the sum in the worst 1 %", "same top token"],
          rows: distributions.map(({ method, length, positions, kl, medianKl, largestKl, worstShare, sameTop }) => [
            method, tokens(length), shown(positions, String), kl.toFixed(4), shown(medianKl, (value) => value.toExponential(1)), shown(largestKl, (value) => value.toFixed(2)),
            shown(worstShare, percent), percent(sameTop, 1),
          ]),
        }]
      : []),
    ...(selections.length > 0 ? [selectionTable(selections)] : []),
    ...outlierTable(records),
    ...answerTable(records),
  ];
  return {
    section: {
      id: "agreement",
      title: "Agreement with dense attention",
      text: [
        "The same weights read the same passages with full attention and with each method; nothing here needs a right answer. A mean KL far above the median is carried by few positions: most tokens are predicted alike, and the ones that need a block which was not selected are not.",
        ...missText(selections),
        ...outlierText(records),
      ],
      charts,
      tables,
    },
    headlines: headline(distributions),
  };
}

function distributionOf({ cell, figures }: ResultRecord): Distribution[] {
  const { measure, length, method } = cell;
  const [kl, sameTop] = [numberIn(figures, "kl"), numberIn(figures, "sameTop")];
  if (measure !== "distributions" || typeof length !== "number" || kl === undefined || sameTop === undefined) return [];
  const { byPosition } = figures;
  const parts = (Array.isArray(byPosition) ? byPosition : []).flatMap((part: Json) => {
    if (typeof part !== "object" || part === null || !("to" in part) || !("kl" in part)) return [];
    return typeof part.to === "number" && typeof part.kl === "number" ? [{ to: part.to, kl: part.kl }] : [];
  });
  const [positions, medianKl, largestKl] = ["positions", "medianKl", "largestKl"].map((name) => numberIn(figures, name));
  return [{ method: textOf(method), length, positions, kl, medianKl, largestKl, worstShare: numberIn(objectIn(figures, "worst"), "shareOfKl"), sameTop, parts }];
}

function selectedOf({ cell, config, figures }: ResultRecord): Selected[] {
  const { measure, length } = cell;
  return measure === "selection" && typeof length === "number" ? [{ length, blocks: Number(config["blocks"]), figures }] : [];
}

function recallOf({ figures }: Selected, kind: string): number | undefined {
  return numberIn(objectIn(figures, "recall"), kind);
}

function shown(value: number | undefined, text: (value: number) => string): string {
  return value === undefined ? "–" : text(value);
}

/** The dot plot's rows are methods; lengths are shades of one colour. */
function klDots(rows: readonly Distribution[], methods: readonly string[]): ChartSpec {
  const values = rows.map(({ method, length, kl }) => ({ method, length: tokens(length), kl: Math.max(kl, 1e-6) }));
  const lengths = [...new Set(rows.map(({ length }) => length))].sort((a, b) => a - b).map(tokens);
  const shades = [colour("step3"), colour("step5"), colour("step7"), colour("step4"), colour("step6")];
  return {
    data: { values },
    width: 480,
    height: { step: 28 },
    mark: { type: "point", filled: true, size: 90 },
    encoding: {
      y: { field: "method", type: "nominal", sort: [...methods], title: null, axis: { grid: true, domain: false, ticks: false } },
      x: { field: "kl", type: "quantitative", title: "KL divergence, nats per token", scale: { type: "log" }, axis: { format: "~g", tickCount: 6 } },
      color: { field: "length", type: "ordinal", sort: lengths, title: "tokens", legend: { columns: 8 }, scale: { domain: lengths, range: lengths.length === 1 ? [colour("blue")] : shades.slice(0, Math.max(lengths.length, 1)) } },
    },
  };
}

function klByPosition(rows: readonly Distribution[], methods: readonly string[]): Chart[] {
  const longest = Math.max(...rows.map(({ length }) => length));
  const values = rows.filter(({ length }) => length === longest).flatMap(({ method, parts }) => parts.map(({ to, kl }) => ({ method, to, kl })));
  if (values.length === 0) return [];
  const spec: ChartSpec = {
    data: { values },
    facet: { field: "method", type: "nominal", sort: [...methods] },
    columns: Math.min(4, Math.max(1, methods.length)),
    spec: {
      width: 170,
      height: 110,
      mark: { type: "line", point: true },
      encoding: {
        x: { field: "to", type: "quantitative", title: "position", axis: { format: "~s", grid: false, tickCount: 4 } },
        y: { field: "kl", type: "quantitative", title: null, scale: { zero: true } },
        color: { field: "method", type: "nominal", scale: seriesScale(methods), legend: null },
      },
    },
  };
  return [{ title: `KL divergence by position, ${tokens(longest)} tokens`, caption: "Nats per token; the axis is the same in every panel.", spec }];
}

function recallBars(selections: readonly Selected[]): ChartSpec {
  const values = selections.flatMap((selected) =>
    kinds.flatMap(([kind, label]) => {
      const recall = recallOf(selected, kind);
      return recall === undefined ? [] : [{ length: `${tokens(selected.length)} tokens`, kind: label, recall: 100 * recall }];
    }),
  );
  const labels = kinds.map(([, label]) => label);
  return {
    data: { values },
    facet: { field: "length", type: "nominal", sort: selections.map(({ length }) => `${tokens(length)} tokens`) },
    columns: 3,
    spec: {
      width: 180,
      height: { step: 24 },
      encoding: {
        y: { field: "kind", type: "nominal", sort: [...labels], title: null, axis: { domain: false, ticks: false, labelLimit: 220 } },
        x: { field: "recall", type: "quantitative", title: "% of dense attention", scale: { domain: [0, 100] } },
      },
      layer: [
        {
          mark: { type: "bar", cornerRadiusEnd: 3, height: 15 },
          encoding: { color: { field: "kind", type: "nominal", legend: null, scale: { domain: [...labels], range: [colour("blue"), colour("aqua"), colour("reference"), colour("green")] } } },
        },
        { mark: { type: "text", align: "left", dx: 4 }, encoding: { text: { field: "recall", format: ".1f" } } },
      ],
    },
  };
}

function gridOf(figures: Figures, kind: string): (number | null)[][] {
  return gridIn(objectIn(figures, "recallByLayerAndHead"), kind);
}

function recallMaps(selections: readonly Selected[]): Chart[] {
  const longest = selections.reduce((a, b) => (b.length > a.length ? b : a));
  const values = gridOf(longest.figures, "approx").flatMap((row, layer) => row.flatMap((recall, head) => (recall === null ? [] : [{ layer: layer + 1, head: head + 1, recall: 100 * recall }])));
  if (values.length === 0) return [];
  const spec: ChartSpec = {
    data: { values },
    width: { step: 32 },
    height: { step: 22 },
    encoding: {
      x: { field: "head", type: "ordinal", title: "query head", axis: { labelAngle: 0, domain: false, ticks: false } },
      y: { field: "layer", type: "ordinal", title: "layer", axis: { domain: false, ticks: false } },
    },
    layer: [
      { mark: { type: "rect", stroke: colour("card"), strokeWidth: 2 }, encoding: { color: stepColour("recall", 100) } },
      {
        mark: { type: "text", fontSize: 10 },
        encoding: { text: { field: "recall", format: ".0f" }, color: { field: "recall", type: "quantitative", scale: { type: "threshold", domain: thresholds(100), range: [...stepInk] }, legend: null } },
      },
    ],
    resolve: { scale: { color: "independent" } },
  };
  return [{ title: `Where selection misses, ${tokens(longest.length)} tokens`, caption: "% of a head's dense attention on the selected blocks (approximate LSE), by layer and query head. Cells that fade into the page are where sparse attention loses.", spec }];
}

function selectionTable(selections: readonly Selected[]): Table {
  const share = (value: number | undefined): string => shown(value, (known) => percent(known, 1));
  return {
    title: "Selections",
    head: ["tokens", "blocks seen", ...kinds.map(([, label]) => label), "shared by neighbours", "shared by both LSEs"],
    rows: selections.map((selected) => [
      tokens(selected.length), String(selected.blocks), ...kinds.map(([kind]) => share(recallOf(selected, kind))),
      share(numberIn(selected.figures, "neighbourOverlap")), share(numberIn(selected.figures, "lseOverlap")),
    ]),
  };
}

/** Which layers selection serves worst, in words. */
function missText(selections: readonly Selected[]): string[] {
  const longest = [...selections].sort((a, b) => b.length - a.length)[0];
  if (longest === undefined) return [];
  const layers = gridOf(longest.figures, "approx").map((row, layer) => ({ layer: layer + 1, recall: row.reduce<number>((sum, value) => sum + (value ?? 0), 0) / row.length }));
  const worst = [...layers].sort((a, b) => a.recall - b.recall)[0];
  const [selected, best, forced] = [recallOf(longest, "approx"), recallOf(longest, "best"), recallOf(longest, "forced")];
  if (worst === undefined || selected === undefined || best === undefined || forced === undefined) return [];
  return [
    `At ${tokens(longest.length)} tokens the ${longest.blocks} selected blocks hold ${percent(selected)} of dense attention; the first blocks and the window alone hold ${percent(forced)}, and the best choice of as many would hold ${percent(best)}. Layer ${worst.layer} is served worst, with ${percent(worst.recall)}.`,
  ];
}

function headline(rows: readonly Distribution[]): Headline[] {
  const own = rows.filter(({ method }) => method === "infllm-v2").sort((a, b) => b.length - a.length)[0];
  if (own === undefined) return [];
  return [{ value: `${(100 * own.sameTop).toFixed(0)} %`, what: "of next tokens the same as under full attention", detail: `InfLLM-V2 at ${tokens(own.length)} tokens, KL ${own.kl.toFixed(3)} nats` }];
}
