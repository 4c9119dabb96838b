/** Vega-Lite specifications as SVG text, without a browser. */
import { parse, View } from "vega";
import { compile, type TopLevelSpec } from "vega-lite";
import { chartConfig } from "./theme.ts";

export type ChartSpec = TopLevelSpec;

/** @throws Error when the specification is wrong; nothing is drawn half */
export async function chartSvg(spec: ChartSpec): Promise<string> {
  const problems: string[] = [];
  const keep = (...words: readonly unknown[]): void => void problems.push(words.map(String).join(" "));
  const logger = {
    level: () => logger,
    error: (...words: readonly unknown[]) => (keep(...words), logger),
    warn: (...words: readonly unknown[]) => (keep(...words), logger),
    info: () => logger,
    debug: () => logger,
  };
  const { spec: compiled } = compile({ ...spec, config: chartConfig } as ChartSpec, { logger: logger as never });
  const view = new View(parse(compiled), { renderer: "none", logger: logger as never });
  try {
    const svg = await view.toSVG();
    if (problems.length > 0) throw new Error(`A chart cannot be drawn: ${problems.join("; ")}`);
    return svg;
  } finally {
    view.finalize();
  }
}
