import { describe, expect, it } from "vitest";
import { environment } from "../results/environment.ts";
import { SCHEMA, type CellKey, type Figures, type ResultRecord } from "../results/record.ts";
import { chartSvg } from "./chart.ts";
import { htmlReport } from "./html.ts";
import { latest, tokens } from "./latest.ts";
import { markdownReport } from "./markdown.ts";
import { buildReport } from "./report.ts";

function record(suite: string, cell: CellKey, figures: Figures, more: Partial<ResultRecord> = {}): ResultRecord {
  return {
    schema: SCHEMA, suite, cell, config: {}, seed: 1, environment: environment(), commit: "abc", status: "done", figures, seconds: 1,
    finishedAt: "2026-01-01T00:00:00.000Z", ...more,
  };
}

const score = (method: string, length: number, value: number): ResultRecord =>
  record("ruler", { task: "vt", length, method }, { score: value, samples: 4, source: "generated", answers: [] });

/** A line or two for every suite. */
const everything: ResultRecord[] = [
  score("full", 1024, 100), score("full", 16_384, 80), score("infllm-v2", 1024, 100), score("infllm-v2", 16_384, 60),
  record("needle", { task: "needle", length: 1024, method: "full" }, { score: 50, answers: [{ id: "a", value: 1, facts: { depth: 0 }, said: "" }, { id: "b", value: 0, facts: { depth: 1 }, said: "" }] }),
  ...["full", "infllm-v2"].map((method, i) =>
    record("perplexity", { length: 4096, method }, { nll: 3 + i / 10, keyTokens: 5, longPpl: 2 + i, byPosition: [{ to: 256, nll: 3 }, { to: 512, nll: null }, { to: 768, nll: 3 + i }] }, { config: { texts: 1, short: 1024 } })),
  record("agreement", { measure: "distributions", length: 4096, method: "infllm-v2" }, { kl: 0.01, sameTop: 0.97, byPosition: [{ to: 512, kl: 0, sameTop: 1 }, { to: 1024, kl: null, sameTop: null }] }),
  record("agreement", { measure: "selection", length: 4096 }, {
    queries: 4, recall: { approx: 0.8, exact: 0.82, forced: 0.5, best: 0.9 }, recallByLayerAndHead: { approx: [[0.9, 0.7], [0.8, null]] }, neighbourOverlap: 0.9, lseOverlap: 0.95,
  }, { config: { blocks: 24 } }),
  record("longbench", { task: "qasper", method: "full" }, { score: 10, samples: 2, source: "fixture" }),
  ...(["dense", "sparse"] as const).map((attention, i) =>
    record("e2e", { engine: "infllm", attention, length: 16_384 }, { prefillSeconds: 60 / (1 + i), prefillCpuSeconds: 50 / (1 + i), decodeTokensPerSecond: 50 * (1 + i), prefillRuns: [1], peakBytes: 1e8, device: "two threads" }, { config: { weights: "f16" } })),
  record("e2e", { engine: "node-llama-cpp", attention: "flash", length: 16_384 }, { prefillSeconds: 45, prefillCpuSeconds: 40, decodeTokensPerSecond: 60, prefillRuns: [1], peakBytes: 2e8, device: "llama.cpp" }, { config: { weights: "f16" } }),
  record("kernels", { op: "product", rows: 512, columns: 512, outputs: 512, dtype: "f32" }, { flopPerSecond: 4e10 }, { config: { shape: "embedded" } }),
  record("kernels", { op: "copy", bytes: 1024 }, { bytesPerSecond: 1e10 }, { config: { shape: "embedded" } }),
  ...(["prefill", "decode"] as const).map((phase) =>
    record("kernels", { op: "attention", phase, length: 8192, blocks: 24, lse: "approx" }, { rows: 64, dense: { median: 0.1 }, select: { median: 0.01 }, selectStored: { median: 0.02 }, attend: { median: 0.02 } }, { config: { shape: "embedded" } })),
  record("kernels", { op: "nsa", phase: "prefill", length: 2048 }, { branches: { compressed: 1, selection: 2, selected: 3, window: 4 } }, { config: { shape: "embedded" } }),
  record("roofline", { hardware: "h100", shape: "embedded", phase: "prefill", length: 4096 }, { dense: 2, sparse: 1, ops: { linear: 1, attendDense: 1, compress: 0, select: 0.1, attendBlocks: 0.2 } }),
  record("ruler", { task: "cwe", length: 1024, method: "full" }, {}, { status: "failed", error: "out of <luck> & \"time\"" }),
];

describe("a report", () => {
  it("has a section for every suite, every chart drawn, and no outside resource", async () => {
    const page = await htmlReport(buildReport(everything));
    const sections = [...page.matchAll(/<section id="([^"]+)">/g)].map(([, id]) => id);
    expect(sections).toEqual(["ruler", "needle", "perplexity", "agreement", "longbench", "e2e-0", "kernels-0", "roofline", "failures", "provenance"]);
    expect(page.match(/<svg /g)?.length).toBe(2 + 1 + 2 + 4 + 4 + 3 + 1);
    expect([...page.matchAll(/.{0,80}(?:<script|src=|href="http|url\(http|NaN|undefined|Infinity).{0,20}/g)].map(([found]) => found)).toEqual([]);
    expect(page.includes("out of &lt;luck&gt; &amp; &quot;time&quot;")).toBe(true);
  });

  it("colours by variables with a light and a dark value", async () => {
    const page = await htmlReport(buildReport(everything));
    const used = new Set([...page.matchAll(/var\(--([\w-]+)\)/g)].map(([, name]) => name));
    const [light = "", dark = ""] = page.split("@media(prefers-color-scheme:dark)");
    for (const name of used) {
      expect([name, light.includes(`--${name}:#`), dark.includes(`--${name}:#`)]).toEqual([name, true, true]);
    }
    expect(page.match(/(?:fill|stroke)="#/g)).toBeNull();
  });

  it("says plainly where sparse attention loses, and what stands first", () => {
    const report = buildReport(everything);
    const text = report.sections.flatMap((section) => section.text).join("\n");
    expect(text).toContain("InfLLM-V2 loses most at 16k tokens: infllm-v2 averages 60.0 where full attention has 80.0, most of it in vt (60.0 where full attention has 80.0)");
    expect(text).toContain("LongPPL at 4k tokens, best first: full 2.00, infllm-v2 3.00.\nMean loss there in nats above full attention's: infllm-v2 +0.100.");
    expect(text).toContain("the 24 selected blocks hold 80 % of dense attention");
    expect(text).toContain("At 16k tokens sparse prefill (30.0 s) is 1.5 times as fast as node-llama-cpp's faster dense one (45.0 s), on the same weights and threads. In processor time, which other programs stretch less, it is 25.0 s against 40.0 s.");
    expect(report.headlines.map(({ value }) => value)).toEqual(["75 %", "97 %", "2.0x", "1.5x", "3.3x"]);
    expect(text).toContain("(fixture)");
  });

  it("says which positions carry a mean KL, and what selection left out there", () => {
    // 200 positions, of which the two of largest KL have a head that finds nothing.
    const positions = Array.from({ length: 200 }, (_, i) => 2000 + i);
    const compared = (method: string, kl: number, worst: number, usual: number): ResultRecord =>
      record("agreement", { measure: "distributions", length: 4096, method }, {
        positions: 200, kl, medianKl: usual, largestKl: worst, sameTop: 0.9, worst: { positions: 2, shareOfKl: 0.8 }, byPosition: [],
        compared: positions.map((position, i) => [0, position, i < 2 ? worst : usual]),
      });
    const selection = record("agreement", { measure: "selection", length: 4096 }, { recall: { approx: 0.9 }, reached: positions.map((position, i) => [0, position, i < 2 ? 0.97 : 0.99, i < 2 ? 0.25 : 0.75]) });
    const [section] = buildReport([compared("infllm-v2", 0.03, 2, 1e-4), compared("sliding-window", 0.02, 1, 2e-4), selection]).sections;
    expect(section?.text.slice(-2)).toEqual([
      "The worst hundredth of positions carry much of InfLLM-V2's KL divergence: 80 % at 4k. There the head that selection serves worst finds 25 % at 4k of its dense attention in the selected blocks, elsewhere 75 % at 4k. " +
        "All query heads of a KV head share one selection, and a block that a single head needs can be left out.",
      "A sliding window of as many tokens has the smaller mean KL at 4k (0.020 against 0.030), though the larger median: it reads all of the last tokens, while selection may drop one of these blocks.",
    ]);
    expect(section?.tables.find(({ head }) => head.includes("worst head, there"))?.rows).toEqual([["4k", "25 %", "75 %", "97.0 %", "99.0 %", "80 %"]]);
    expect(section?.tables[0]?.rows[0]).toEqual(["infllm-v2", "4k", "200", "0.0300", "1.0e-4", "2.00", "80 %", "90.0 %"]);
  });

  it("says what selection reaches where answers are written", () => {
    const answers = record("agreement", { measure: "answers", task: "vt", length: 16_384 }, {
      queries: 9, recall: { approx: 0.9, forced: 0.5, best: 0.95 }, recallByLayerAndHead: { approx: [[0.9, 0.8], [0.3, null]], best: [[1, 1], [0.6, null]] },
    });
    const report = buildReport([...everything, answers]);
    const text = report.sections.flatMap((section) => section.text).join("\n");
    expect(text).toContain("Where its answers are written, the selected blocks hold 90 % of dense attention (forced blocks alone 50 %), but only 30 % of that of head 1 in layer 2, where the best choice of as many blocks would hold 60 %");
    const table = report.sections.flatMap(({ tables }) => tables).find(({ title }) => title === "Selections where answers are written");
    expect(table?.rows).toEqual([["vt", "16k", "9", "90 %", "50 %", "95 %", "30 %", "60 %", "20.0"]]);
  });

  it("says which backend a method ran on, where there are several", () => {
    const on = (name: string, one: ResultRecord): ResultRecord => ({ ...one, environment: { ...one.environment, backend: { name, description: `the ${name}` } } });
    const text = (...some: ResultRecord[]) => buildReport(some).sections[0]?.text.join("\n") ?? "";
    expect(text(on("cuda", score("full", 1024, 100)), on("cpu", score("minference", 1024, 100)))).toContain("full on the cuda backend (the cuda); minference on the cpu backend (the cpu).");
    expect(text(on("cpu", score("full", 1024, 100)), on("cpu", score("minference", 1024, 100)))).not.toContain("backend");
  });

  it("averages only where every task of a length was run", () => {
    const more = { ...score("full", 1024, 0), cell: { task: "cwe", length: 1024, method: "full" } };
    const [table] = buildReport([...everything, more]).sections.find(({ id }) => id === "ruler")?.tables ?? [];
    expect(table?.rows).toEqual([["full", "50.0", "80.0"], ["infllm-v2", "–", "60.0"]]);
  });

  it("is Markdown, too", () => {
    const markdown = markdownReport(buildReport(everything));
    expect(markdown).toContain("| infllm-v2 | 100.0 | 60.0 |");
    expect(markdown).toContain("## End to end");
    expect(markdown).toContain("| 2k | 1.00 s | 2.00 s | 3.00 s | 4.00 s |");
  });
});

describe("latest", () => {
  const failed: ResultRecord = { ...score("full", 1024, 0), status: "failed" };
  const of = (...records: ResultRecord[]) => latest(records).records.map(({ status, figures }) => [status, figures["score"]]);

  it("takes the last line of a cell, and a failure only where nothing is done", () => {
    expect(of(score("full", 1024, 50), score("full", 1024, 70))).toEqual([["done", 70]]);
    expect(of(score("full", 1024, 50), failed)).toEqual([["done", 50]]);
    expect(of(failed, score("full", 1024, 50))).toEqual([["done", 50]]);
    expect(of(failed)).toEqual([["failed", 0]]);
  });

  it("shows one configuration of a cell, and counts the others", () => {
    const more = { ...score("full", 1024, 70), config: { style: "tiny" } };
    expect(latest([score("full", 1024, 50), more])).toEqual({ records: [more], replaced: 1 });
    expect(latest([score("full", 1024, 50), score("full", 1024, 70)]).replaced).toBe(0);
  });

  it("puts the samples of a cell together, each once", () => {
    // The score that a line states is not looked at where samples are put together.
    const part = (fromSample: number, values: readonly number[]): ResultRecord => ({
      ...record("ruler", { task: "vt", length: 1024, method: "full" }, {
        score: 0, samples: values.length, answers: values.map((value, i) => ({ id: `1024/1/${fromSample + i}`, value, facts: {}, said: "" })),
      }),
      config: { samples: values.length, ...(fromSample > 0 && { fromSample }) },
    });
    const shown = (...parts: ResultRecord[]) => latest(parts).records.map(({ figures: { score, samples } }) => [score, samples]);
    expect(shown(part(0, [1, 0]), part(2, [1, 1]))).toEqual([[75, 4]]);
    // A later line's answer stands for an earlier one's to the same sample.
    expect(shown(part(0, [1, 0]), part(1, [1, 1]))).toEqual([[100, 3]]);
    expect(latest([part(0, [1, 0]), part(2, [1, 1])]).replaced).toBe(0);
    expect(shown(part(0, [1, 0]), { ...part(2, [1]), seed: 2 })).toEqual([[0, 1]]);
  });

  it("keeps timed cells of different machines apart", () => {
    const cell = record("e2e", { engine: "infllm", attention: "dense", length: 16 }, {});
    const other = { ...cell, environment: { ...environment(), cpu: "another" } };
    expect(latest([cell, other]).records).toHaveLength(2);
  });
});

it("writes lengths as people say them", () => {
  expect([500, 1024, 16_384, 1_048_576].map(tokens)).toEqual(["500", "1k", "16k", "1M"]);
});

it("draws no chart from a specification with mistakes", async () => {
  const broken = { data: { values: [{ a: 1 }] }, mark: "bar", encoding: { x: { field: "a", type: "quantitative", scale: { type: "no-such-scale" } } } };
  await expect(chartSvg(broken as never)).rejects.toThrow();
});
