/** Prefill beside decode: a line for each series over length. */
import type { ChartSpec } from "./chart.ts";
import { lengthAxis, secondsLabels } from "./latest.ts";
import { colour } from "./theme.ts";

export interface PhasePoint {
  readonly phase: string;
  readonly length: number;
  readonly series: string;
  readonly value: number;
}

export interface PhaseLines {
  readonly points: readonly PhasePoint[];
  readonly scale: { readonly domain: string[]; readonly range: string[] };
  /** `times`: how many times as fast as dense, with a rule at 1. `seconds`: logarithmic, an axis for each phase. */
  readonly kind: "times" | "seconds";
  /** Columns of the legend; two when absent. */
  readonly legendColumns?: number;
}

export function phaseLines({ points, scale, kind, legendColumns = 2 }: PhaseLines): ChartSpec {
  const y = {
    times: { field: "value", type: "quantitative", title: "times as fast as dense", scale: { zero: true } },
    seconds: { aggregate: "mean", field: "value", type: "quantitative", title: null, scale: { type: "log" }, axis: { labelExpr: secondsLabels, tickCount: 5 } },
  } as const;
  return {
    data: { values: [...points] },
    facet: { field: "phase", type: "nominal", sort: ["prefill", "decode"] },
    spec: {
      width: 330,
      height: 220,
      layer: [
        ...(kind === "times" ? [{ mark: { type: "rule" as const, strokeDash: [4, 3] }, encoding: { y: { datum: 1 }, color: { value: colour("soft") } } }] : []),
        {
          mark: { type: "line", point: true },
          encoding: {
            x: lengthAxis("length", points.map(({ length }) => length)),
            y: y[kind],
            color: { field: "series", type: "nominal", title: null, scale, legend: { columns: legendColumns, labelLimit: 0 } },
          },
        },
      ],
    },
    ...(kind === "seconds" && { resolve: { scale: { y: "independent" } } }),
  };
}
