/**
 * Colours of the page and its charts. Charts name CSS variables, so one picture serves light and dark; the stylesheet
 * gives each variable its two values.
 */
import type { Config } from "vega-lite";

/** `--name: [light, dark]` */
const variables = {
  page: ["#f7f6f3", "#141413"],
  card: ["#ffffff", "#1d1d1b"],
  line: ["#e3e1db", "#34332f"],
  grid: ["#ebe9e4", "#2b2a27"],
  ink: ["#1b1a17", "#f2f0ea"],
  soft: ["#5f5d56", "#aaa79d"],
  link: ["#1f5fbf", "#7db0f7"],
  bad: ["#b3261e", "#ff8a80"],
  reference: ["#77746b", "#a09d93"],
  blue: ["#2a78d6", "#5b9df0"],
  aqua: ["#12906a", "#2fbf92"],
  orange: ["#d95f24", "#f08a52"],
  yellow: ["#b98a00", "#e0b13a"],
  violet: ["#6250c4", "#a496f5"],
  red: ["#d03b4b", "#f2788a"],
  magenta: ["#c24f8c", "#ee8fc0"],
  green: ["#3f7f1f", "#7fbf5a"],
  // One hue from the card's own colour to a deep blue: larger is further from the background in both modes.
  step0: ["#f3f6fb", "#20262f"],
  step1: ["#dbe8fa", "#213449"],
  step2: ["#bcd6f6", "#234567"],
  step3: ["#93bdf0", "#275a8a"],
  step4: ["#639fe6", "#3473b0"],
  step5: ["#3a7fd5", "#4f92d6"],
  step6: ["#1d5fb3", "#7db4ef"],
  step7: ["#124586", "#b5d6fb"],
} as const satisfies Record<string, readonly [string, string]>;

export type Colour = keyof typeof variables;

export function colour(name: Colour): string {
  return `var(--${name})`;
}

/** Steps of heat maps, least first. */
export const steps: readonly string[] = (["step0", "step1", "step2", "step3", "step4", "step5", "step6", "step7"] as const).map(colour);
/** Ink that reads on each step. */
export const stepInk: readonly string[] = [0, 1, 2, 3].map(() => colour("ink")).concat([4, 5, 6, 7].map(() => colour("card")));

/** The `:root` rules of both modes. */
export function colourRules(): string {
  const rules = (mode: 0 | 1): string => Object.entries(variables).map(([name, values]) => `--${name}:${values[mode]}`).join(";");
  return `:root{color-scheme:light dark;${rules(0)}}@media(prefers-color-scheme:dark){:root{${rules(1)}}}`;
}

/** A method, engine or op keeps its colour in every chart. */
const seriesColours: Readonly<Record<string, Colour>> = {
  full: "reference",
  dense: "reference",
  "infllm-v2": "blue",
  sparse: "blue",
  "infllm-v2-exact": "aqua",
  "sliding-window": "yellow",
  "infllm-v1": "orange",
  yarn: "magenta",
  minference: "violet",
  nsa: "green",
  "node-llama-cpp": "orange",
  "node-llama-cpp, flash": "red",
};

const spare: readonly Colour[] = ["blue", "orange", "aqua", "violet", "magenta", "green", "yellow", "red"];

/** Domain and range of a colour scale over these series, known ones in their own colour. */
export function seriesScale(names: readonly string[]): { domain: string[]; range: string[] } {
  let next = 0;
  const range = names.map((name) => colour(seriesColours[name] ?? seriesColours[name.split(/[:,]/)[0] ?? ""] ?? spare[next++ % spare.length] ?? "violet"));
  return { domain: [...names], range };
}

const font = "system-ui, -apple-system, 'Segoe UI', sans-serif";

/** Look of every chart. */
export const chartConfig: Config = {
  background: "transparent",
  font,
  view: { stroke: "transparent" },
  axis: {
    labelColor: colour("soft"),
    titleColor: colour("soft"),
    titleFontWeight: "normal",
    titleFontSize: 12,
    labelFontSize: 11,
    gridColor: colour("grid"),
    domainColor: colour("line"),
    tickColor: colour("line"),
    tickSize: 4,
    labelOverlap: "greedy",
  },
  legend: { labelColor: colour("ink"), titleColor: colour("soft"), titleFontWeight: "normal", labelFontSize: 12, orient: "top", symbolStrokeWidth: 2, symbolSize: 90, labelLimit: 320, columns: 2, columnPadding: 18 },
  header: { labelColor: colour("ink"), labelFontSize: 12, labelFontWeight: "bold", title: null, labelPadding: 6 },
  line: { strokeWidth: 2 },
  point: { size: 42, filled: true },
  text: { color: colour("ink"), fontSize: 11, font },
  rule: { color: colour("line") },
};
