import type { Json } from "../../tasks/task.ts";
import type { ResultRecord } from "../../results/record.ts";
import type { ChartSpec } from "../chart.ts";
import { backendText, finished, groupBy, mean, numberIn, textOf, tokens } from "../latest.ts";
import type { ReportPart } from "../section.ts";
import { colour } from "../theme.ts";
import { stepColour } from "./scores.ts";

interface Found {
  readonly method: string;
  readonly length: number;
  readonly depth: number;
  readonly found: number;
}

export function needlePart(records: readonly ResultRecord[]): ReportPart | undefined {
  const own = finished(records, "needle");
  const cells = own.flatMap(cellsOf);
  if (cells.length === 0) return undefined;
  const methods = [...new Set(cells.map(({ method }) => method))];
  const lengths = [...new Set(cells.map(({ length }) => length))].sort((a, b) => a - b);
  const rows = methods.map((method) => [
    method,
    ...lengths.map((length) => {
      const values = cells.filter((cell) => cell.method === method && cell.length === length).map(({ found }) => 100 * found);
      return values.length === 0 ? "–" : mean(values).toFixed(0);
    }),
  ]);
  return {
    section: {
      id: "needle",
      title: "Needle in a haystack",
      text: [
        "One made-up number hides in a book at eleven depths; the model is asked for it. A cell of strong colour is a right answer, one that fades into the page a miss.",
        ...backendText(own),
      ],
      charts: [{ title: "Depth by length", caption: "Rows: how deep the number hides, 0 % is the start of the text. Columns: tokens.", spec: heatMap(cells, methods, lengths) }],
      tables: [{ title: "Numbers found, %", head: ["method", ...lengths.map(tokens)], rows }],
    },
    headlines: [],
  };
}

/** Answers of one line by depth, averaged over rounds. */
function cellsOf({ cell, figures }: ResultRecord): Found[] {
  const answers = figures["answers"];
  const length = cell["length"];
  if (!Array.isArray(answers) || typeof length !== "number") return [];
  const points = answers.flatMap((answer: Json) => {
    if (typeof answer !== "object" || answer === null || Array.isArray(answer) || !("facts" in answer)) return [];
    const { facts, value } = answer;
    if (typeof facts !== "object" || facts === null || Array.isArray(facts) || typeof value !== "number") return [];
    const depth = numberIn(facts as { readonly [key: string]: Json }, "depth");
    return depth === undefined ? [] : [{ depth, value }];
  });
  return [...groupBy(points, ({ depth }) => String(depth))].map(([depth, at]) => ({
    method: textOf(cell["method"]),
    length,
    depth: Number(depth),
    found: mean(at.map(({ value }) => value)),
  }));
}

function heatMap(cells: readonly Found[], methods: readonly string[], lengths: readonly number[]): ChartSpec {
  const values = cells.map(({ method, length, depth, found }) => ({ method, length: tokens(length), depth: `${Math.round(depth * 100)} %`, found }));
  const depths = [...new Set(cells.map(({ depth }) => depth))].sort((a, b) => a - b).map((depth) => `${Math.round(depth * 100)} %`);
  return {
    data: { values },
    facet: { field: "method", type: "nominal", sort: [...methods] },
    columns: Math.min(3, methods.length),
    spec: {
      width: { step: 46 },
      height: { step: 20 },
      mark: { type: "rect", stroke: colour("card"), strokeWidth: 2, cornerRadius: 3 },
      encoding: {
        x: { field: "length", type: "ordinal", sort: lengths.map(tokens), title: "tokens", axis: { labelAngle: 0, domain: false, ticks: false } },
        y: { field: "depth", type: "ordinal", sort: depths, title: "depth", axis: { domain: false, ticks: false } },
        color: stepColour("found", 1),
      },
    },
  };
}
