import { appendFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { FormatError, NotAvailableError } from "@infllm/tensor";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { environment } from "./environment.ts";
import { readResults, ResultsFolder } from "./folder.ts";
import { cellId, SCHEMA, type ResultRecord } from "./record.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "infllm-bench-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function record(length: number): ResultRecord {
  return {
    schema: SCHEMA, suite: "ruler", cell: { task: "vt", length }, config: {}, seed: 1, environment: environment(), commit: "abc",
    status: "done", figures: { score: 50 }, seconds: 1, finishedAt: "2026-01-01T00:00:00.000Z",
  };
}

const inUse = (holder: object): Promise<void> => writeFile(join(folder, ".lock"), JSON.stringify(holder));

describe("a results folder", () => {
  it("gives back what was added, also to the next run", async () => {
    const first = await ResultsFolder.open(join(folder, "a", "b"));
    await first.add(record(1024));
    expect(first.records).toEqual([record(1024)]);
    await first.close();
    const second = await ResultsFolder.open(join(folder, "a", "b"));
    expect(second.records).toEqual([record(1024)]);
    await second.close();
  });

  it("leaves nothing behind when nothing was measured, and nobody's files away", async () => {
    const empty = join(folder, "empty");
    await (await ResultsFolder.open(empty)).close();
    await expect(readResults(empty)).rejects.toThrow("There is no results folder");
    await mkdir(empty);
    await writeFile(join(empty, "notes.txt"), "mine");
    await (await ResultsFolder.open(empty)).close();
    expect(await readFile(join(empty, "notes.txt"), "utf8")).toBe("mine");
  });

  it("belongs to one run at a time", async () => {
    const first = await ResultsFolder.open(folder);
    const refused = ResultsFolder.open(folder);
    await expect(refused).rejects.toThrow(NotAvailableError);
    await expect(refused).rejects.toThrow(`in use by process ${process.pid} on ${hostname()}`);
    await first.close();
    await (await ResultsFolder.open(folder)).close();
  });

  it("is taken over from a process that is gone, and not from another host", async () => {
    // No process has this number: Linux allows at most 2^22.
    await inUse({ pid: 2 ** 22 + 1, host: hostname(), since: "2026-01-01" });
    await (await ResultsFolder.open(folder)).close();
    await mkdir(folder);
    await inUse({ pid: 1, host: "elsewhere", since: "2026-01-01" });
    await expect(ResultsFolder.open(folder)).rejects.toThrow("process 1 on elsewhere");
  });

  it("is not taken while a lock is being written", async () => {
    await writeFile(join(folder, ".lock"), "");
    await expect(ResultsFolder.open(folder)).rejects.toThrow("in use by another run");
  });

  it("drops a last line that a crash cut short", async () => {
    const file = join(folder, "ruler.jsonl");
    await writeFile(file, `${JSON.stringify(record(1024))}\n{"schema":1,"sui`);
    const opened = await ResultsFolder.open(folder);
    expect(opened.records).toEqual([record(1024)]);
    await opened.add(record(2048));
    await opened.close();
    expect(await readResults(folder)).toEqual([record(1024), record(2048)]);
  });

  it("stays whole when the disk is full", async () => {
    const full = async (path: string, text: string): Promise<void> => {
      await appendFile(path, text.slice(0, 40));
      throw Object.assign(new Error("write"), { code: "ENOSPC" });
    };
    const before = await ResultsFolder.open(folder);
    await before.add(record(1024));
    await before.close();
    const opened = await ResultsFolder.open(folder, full);
    const adding = opened.add(record(2048));
    await expect(adding).rejects.toThrow(NotAvailableError);
    await expect(adding).rejects.toThrow(/the disk is full\. Cells that were finished before are safe: make room/);
    await opened.close();
    expect(await readFile(join(folder, "ruler.jsonl"), "utf8")).toBe(`${JSON.stringify(record(1024))}\n`);
  });

  it("says where a line is damaged", async () => {
    const damaged = async (text: string): Promise<string> => {
      await writeFile(join(folder, "ruler.jsonl"), `${JSON.stringify(record(1024))}\n${text}\n`);
      const refused = await readResults(folder).catch((error: unknown) => error);
      expect(refused).toBeInstanceOf(FormatError);
      return (refused as Error).message;
    };
    expect(await damaged("{oops}")).toMatch(/ruler\.jsonl, line 2 is not JSON/);
    expect(await damaged("[1]")).toMatch(/line 2 is no object/);
    expect(await damaged(JSON.stringify({ ...record(1), seed: "one" }))).toMatch(/line 2: "seed" is "one"; it must be a number/);
    expect(await damaged(JSON.stringify({ ...record(1), schema: 9 }))).toMatch(/"schema" is 9; it must be the number 1/);
  });

  it("cannot be a file", async () => {
    await writeFile(join(folder, "file"), "");
    await expect(ResultsFolder.open(join(folder, "file"))).rejects.toThrow(/cannot be made: a file of that name is in the way/);
    await mkdir(join(folder, "none"));
    await expect(readResults(join(folder, "missing"))).rejects.toThrow("There is no results folder");
  });
});

describe("a cell's identity", () => {
  it("does not depend on the order of keys", () => {
    expect(cellId({ ...record(1), cell: { a: 1, b: 2 } })).toBe(cellId({ ...record(1), cell: { b: 2, a: 1 } }));
  });

  it("depends on config, seed, model and, for times, the machine", () => {
    const base = cellId(record(1));
    const others = [
      cellId({ ...record(1), config: { samples: 2 } }),
      cellId({ ...record(1), seed: 2 }),
      cellId({ ...record(1), model: { name: "m", hash: "sha256:0" } }),
      cellId(record(1), "a machine"),
    ];
    expect(new Set([base, ...others]).size).toBe(5);
  });
});
