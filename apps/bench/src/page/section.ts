/** What a report consists of; the HTML page and the Markdown file both come from it. */
import type { ChartSpec } from "./chart.ts";

export interface Chart {
  readonly title: string;
  /** How to read it, in a sentence. */
  readonly caption: string;
  readonly spec: ChartSpec;
}

export interface Table {
  readonly title: string;
  readonly head: readonly string[];
  /** The first column names the row; the others are figures. */
  readonly rows: readonly (readonly string[])[];
}

export interface Section {
  readonly id: string;
  readonly title: string;
  /** Paragraphs before the charts: what was measured, and what it says. */
  readonly text: readonly string[];
  readonly charts: readonly Chart[];
  readonly tables: readonly Table[];
}

/** The one or two figures that a reader should see first. */
export interface Headline {
  readonly value: string;
  readonly what: string;
  /** What it is measured against, and on how much. */
  readonly detail: string;
}

export interface ReportPart {
  readonly section: Section;
  readonly headlines: readonly Headline[];
}
