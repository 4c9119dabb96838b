/** Likelihood by position, and LongPPL. */
import type { Json } from "../../tasks/task.ts";
import type { ResultRecord } from "../../results/record.ts";
import type { ChartSpec } from "../chart.ts";
import { finished, numberIn, textOf, tokens } from "../latest.ts";
import type { Chart, ReportPart } from "../section.ts";
import { colour, seriesScale } from "../theme.ts";

interface Row {
  readonly method: string;
  readonly length: number;
  readonly nll: number;
  readonly longPpl: number | undefined;
  readonly keyTokens: number;
  readonly parts: readonly { readonly to: number; readonly nll: number }[];
}

const baseline = "full";

export function perplexityPart(records: readonly ResultRecord[]): ReportPart | undefined {
  const own = finished(records, "perplexity");
  const rows = own.flatMap(rowOf);
  if (rows.length === 0) return undefined;
  const lengths = [...new Set(rows.map(({ length }) => length))].sort((a, b) => a - b);
  const methods = [...new Set(rows.map(({ method }) => method))];
  const longest = lengths.at(-1) ?? 0;
  const charts: Chart[] = [
    { title: `Excess loss by position, ${tokens(longest)} tokens`, caption: "Nats per token above full attention on the same tokens; a panel for each method. Zero is no loss, below zero is better than full.", spec: excess(rows.filter(({ length }) => length === longest), methods) },
    ...(rows.some(({ longPpl }) => longPpl !== undefined)
      ? [{ title: "LongPPL", caption: "Perplexity over the key tokens, those that only the distant context predicts. Lower is better; the rule is full attention.", spec: longPplBars(rows, methods, lengths) }]
      : []),
  ];
  const texts = [...new Set(own.map(({ config }) => textOf(config["texts"])))].join(", ");
  const short = [...new Set(own.map(({ config }) => textOf(config["short"])))].join(", ");
  return {
    section: {
      id: "perplexity",
      title: "Perplexity and LongPPL",
      text: [
        `Passages of a book (${texts} of each length) under every method. Plain perplexity hardly notices long context: most tokens follow from the last few hundred. LongPPL counts only tokens that full attention predicts much better with the whole text than with the last ${short} tokens.`,
        ...lossText(rows.filter(({ length }) => length === longest), longest),
      ],
      charts,
      tables: lengths.map((length) => ({
        title: `${tokens(length)} tokens`,
        head: ["method", "NLL, nats", "perplexity", "LongPPL", "key tokens"],
        rows: rows.filter((row) => row.length === length).map(({ method, nll, longPpl, keyTokens }) => [method, nll.toFixed(4), Math.exp(nll).toFixed(2), longPpl?.toFixed(2) ?? "–", String(keyTokens)]),
      })),
    },
    headlines: [],
  };
}

/** Who keeps what at the longest length, by both measures: they need not agree. */
function lossText(rows: readonly Row[], length: number): string[] {
  const full = rows.find(({ method }) => method === baseline);
  const others = rows.filter(({ method }) => method !== baseline);
  if (full === undefined || others.length === 0) return [];
  const byLongPpl = rows.flatMap(({ method, longPpl }) => (longPpl === undefined ? [] : [{ method, longPpl }])).sort((a, b) => a.longPpl - b.longPpl);
  const byNll = others.map(({ method, nll }) => ({ method, above: nll - full.nll })).sort((a, b) => a.above - b.above);
  const shown = (above: number): string => `${above < 0 ? "−" : "+"}${Math.abs(above).toFixed(3)}`;
  return [
    ...(byLongPpl.length < 2 ? [] : [`LongPPL at ${tokens(length)} tokens, best first: ${byLongPpl.map(({ method, longPpl }) => `${method} ${longPpl.toFixed(2)}`).join(", ")}.`]),
    `Mean loss there in nats above full attention's: ${byNll.map(({ method, above }) => `${method} ${shown(above)}`).join(", ")}.`,
  ];
}

function rowOf({ cell, figures }: ResultRecord): Row[] {
  const { length, method } = cell;
  const nll = numberIn(figures, "nll");
  if (typeof length !== "number" || nll === undefined) return [];
  const { byPosition } = figures;
  const parts = (Array.isArray(byPosition) ? byPosition : []).flatMap((part: Json) => {
    if (typeof part !== "object" || part === null || !("to" in part) || !("nll" in part)) return [];
    return typeof part.to === "number" && typeof part.nll === "number" ? [{ to: part.to, nll: part.nll }] : [];
  });
  return [{ method: textOf(method), length, nll, longPpl: numberIn(figures, "longPpl"), keyTokens: numberIn(figures, "keyTokens") ?? 0, parts }];
}

function excess(rows: readonly Row[], methods: readonly string[]): ChartSpec {
  const full = rows.find(({ method }) => method === baseline);
  const compared = rows.filter(({ method }) => method !== baseline);
  const values = compared.flatMap(({ method, parts }) =>
    parts.map(({ to, nll }) => ({ method, to, excess: nll - (full?.parts.find((part) => part.to === to)?.nll ?? 0) })),
  );
  return {
    data: { values },
    facet: { field: "method", type: "nominal", sort: [...methods] },
    columns: Math.min(4, Math.max(1, compared.length)),
    spec: {
      width: 170,
      height: 120,
      layer: [
        { mark: { type: "rule" }, encoding: { y: { datum: 0 }, color: { value: colour("reference") } } },
        {
          mark: { type: "line", interpolate: "monotone" },
          encoding: {
            x: { field: "to", type: "quantitative", title: "position", axis: { format: "~s", grid: false, tickCount: 4 } },
            y: { field: "excess", type: "quantitative", title: null },
            color: { field: "method", type: "nominal", scale: seriesScale(methods), legend: null },
          },
        },
      ],
    },
  };
}

function longPplBars(rows: readonly Row[], methods: readonly string[], lengths: readonly number[]): ChartSpec {
  const values = rows.flatMap(({ method, length, longPpl }) =>
    longPpl === undefined ? [] : [{ method, length: `${tokens(length)} tokens`, longPpl, full: rows.find((row) => row.length === length && row.method === baseline)?.longPpl ?? longPpl }],
  );
  return {
    data: { values },
    facet: { field: "length", type: "nominal", sort: lengths.map((length) => `${tokens(length)} tokens`) },
    columns: 3,
    spec: {
      width: 200,
      height: { step: 22 },
      encoding: { y: { field: "method", type: "nominal", sort: [...methods], title: null, axis: { domain: false, ticks: false } } },
      layer: [
        {
          mark: { type: "bar", cornerRadiusEnd: 3, height: 14 },
          encoding: { x: { field: "longPpl", type: "quantitative", title: "LongPPL" }, color: { field: "method", type: "nominal", scale: seriesScale(methods), legend: null } },
        },
        { mark: { type: "text", align: "left", dx: 4 }, encoding: { x: { field: "longPpl", type: "quantitative" }, text: { field: "longPpl", format: ".2f" } } },
        { mark: { type: "rule", strokeDash: [4, 3] }, encoding: { x: { field: "full", type: "quantitative", aggregate: "mean" }, y: { value: 0 }, y2: { value: "height" }, color: { value: colour("soft") } } },
      ],
    },
    resolve: { scale: { x: "independent" } },
  };
}
