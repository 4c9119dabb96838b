import { InterruptedError, InterruptHandler, type Io } from "@infllm/command";
import { Captured } from "@infllm/command/testing";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { environment } from "./environment.ts";
import { ResultsFolder } from "./folder.ts";
import { requireAll, runCells, type Cell, type Plan } from "./run-cells.ts";

let folder: string;
let results: ResultsFolder;
let interrupts: InterruptHandler;
let io: Io & { readonly stdout: Captured; readonly stderr: Captured };
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "infllm-bench-"));
  results = await ResultsFolder.open(folder);
  interrupts = new InterruptHandler(() => {});
  io = { stdin: Readable.from([]), stdout: new Captured(), stderr: new Captured(), env: {}, interrupts };
});
afterEach(async () => {
  await results.close();
  await rm(folder, { recursive: true, force: true });
});

let runs: string[] = [];
function cell(name: string, run: () => Promise<number> = async () => 1): Cell {
  return {
    cell: { name },
    config: {},
    run: async () => {
      runs.push(name);
      return { value: await run() };
    },
  };
}

const plan = (cells: readonly Cell[], more: Partial<Plan> = {}): Plan => ({
  suite: "test", timed: false, seed: 1, environment: environment(), commit: "abc", cells, describe: ({ value }) => `value ${String(value)}`, ...more,
});
const once = { again: false };

describe("runCells", () => {
  beforeEach(() => {
    runs = [];
  });

  it("writes a line for each cell and does not repeat what is finished", async () => {
    expect(await runCells(plan([cell("a"), cell("b")]), results, io, once)).toEqual({ done: 2, skipped: 0, failed: [] });
    expect(await runCells(plan([cell("a"), cell("b"), cell("c")]), results, io, once)).toEqual({ done: 1, skipped: 2, failed: [] });
    expect(runs).toEqual(["a", "b", "c"]);
    expect(io.stderr.text).toContain("2 of 3 cells were finished before");
    expect(results.records.map((record) => [record.cell["name"], record.figures])).toEqual([["a", { value: 1 }], ["b", { value: 1 }], ["c", { value: 1 }]]);
  });

  it("repeats cells of another seed or config, and all with again", async () => {
    await runCells(plan([cell("a")]), results, io, once);
    await runCells(plan([cell("a")], { seed: 2 }), results, io, once);
    await runCells(plan([{ ...cell("a"), config: { samples: 3 } }]), results, io, once);
    await runCells(plan([cell("a")]), results, io, { again: true });
    expect(runs.length).toBe(4);
  });

  it("repeats timed cells on another machine only", async () => {
    const other = { ...environment(), cpu: "another" };
    for (const timed of [false, true]) {
      await runCells(plan([cell("a")], { timed, suite: `timed ${timed}` }), results, io, once);
      await runCells(plan([cell("a")], { timed, suite: `timed ${timed}`, environment: other }), results, io, once);
    }
    expect(runs.length).toBe(3);
  });

  it("records a cell that crashes, goes on, and tries it again next time", async () => {
    const broken = cell("b", () => Promise.reject(new Error("out of luck")));
    const summary = await runCells(plan([cell("a"), broken, cell("c")]), results, io, once);
    expect(summary).toEqual({ done: 2, skipped: 0, failed: [{ cell: { name: "b" }, error: "out of luck" }] });
    expect(results.records[1]).toMatchObject({ status: "failed", error: "out of luck", figures: {} });
    expect(() => requireAll("test", summary)).toThrow("1 of 3 cells of test failed, the first (b) with: out of luck");
    expect(await runCells(plan([cell("a"), cell("b"), cell("c")]), results, io, once)).toMatchObject({ done: 1, skipped: 2 });
  });

  it("keeps finished cells when Ctrl-C stops it, and drops the one that ran", async () => {
    void interrupts.signal;
    const stopped = cell("b", async () => {
      interrupts.press();
      interrupts.signal.throwIfAborted();
      return 1;
    });
    await expect(runCells(plan([cell("a"), stopped, cell("c")]), results, io, once)).rejects.toThrow(InterruptedError);
    expect(results.records.map((record) => record.cell["name"])).toEqual(["a"]);
    expect(runs).toEqual(["a", "b"]);
  });

  it("ends the run when the folder cannot be written", async () => {
    await results.close();
    results = await ResultsFolder.open(folder, () => Promise.reject(Object.assign(new Error("full"), { code: "ENOSPC" })));
    await expect(runCells(plan([cell("a"), cell("b")]), results, io, once)).rejects.toThrow("the disk is full");
    expect(runs).toEqual(["a"]);
  });
});
