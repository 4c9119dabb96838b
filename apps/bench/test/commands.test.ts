import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { commands } from "../src/commands/index.ts";
import { version } from "../package.json";
import { bench, lines, temporaryFolder } from "./harness.ts";

const names = ["quick", "ruler", "needle", "longbench", "reasoning", "perplexity", "agreement", "kernels", "e2e", "roofline", "report", "cpu"];
const folder = await temporaryFolder();
let made = 0;
const fresh = (): string => join(folder, `results-${made++}`);

/** The smallest run of RULER that still has two methods and two lengths. */
const small = ["--tasks", "niah_single_1", "--lengths", "256,320", "--samples", "1", "--methods", "full,infllm-v2", "--threads", "1"];

describe("infllm-bench", () => {
  it("has its commands", async () => {
    const { code, stdout } = await bench(["--help"]);
    expect(code).toBe(0);
    expect(commands.length).toBe(names.length);
    for (const name of names) expect(stdout).toMatch(new RegExp(`^  ${name}\\b`, "mu"));
    expect(await bench(["--version"])).toEqual({ code: 0, stdout: `${version}\n`, stderr: "" });
  });

  it.each(names)("%s --help shows an example of itself", async (name) => {
    const { code, stdout, stderr } = await bench([name, "--help"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(new RegExp(`Examples?:[\\s\\S]*\\binfllm-bench ${name}`, "u"));
  });

  it.each([
    ["no command", [], "Usage: infllm-bench"],
    ["a mistyped command", ["rulr"], "Did you mean ruler?"],
    ["an unknown task", ["ruler", "--tasks", "niah_singel_1"], 'There is no task "niah_singel_1". Did you mean niah_single_1'],
    ["another family's task", ["ruler", "--tasks", "mmlu"], "mmlu is a task of knowledge; infllm-bench ruler runs those of ruler"],
    ["an unknown method", ["ruler", "--methods", "sparse"], 'There is no attention method "sparse"; there are full,'],
    ["a length beyond the model", ["ruler", "--lengths", "65536"], "--lengths has 65536, but the model was trained for 32768 tokens"],
    ["a length beyond the model, elsewhere", ["agreement", "--lengths", "65536"], "--lengths has 65536"],
    ["an unknown engine", ["e2e", "--engines", "ollama"], 'There is no engine "ollama". Known are infllm, node-llama-cpp'],
    ["layers of a whole model", ["e2e", "--engines", "infllm", "--layers", "2"], "--layers goes with --shape"],
    ["half a roofline", ["roofline", "--flops", "1e12"], "--flops and --bandwidth go together"],
    ["unknown hardware", ["roofline", "--hardware", "tpu"], 'There is no hardware "tpu". Known are h100,'],
    ["data without a task", ["reasoning", "--data", "x"], "name it with --tasks"],
    ["texts within the short context", ["perplexity", "--lengths", "512", "--short", "512"], "--lengths has 512, which --short 512 covers whole"],
    ["an unknown measure", ["agreement", "--measures", "distribution"], '--measures has "distribution"; it takes distributions, selection, answers'],
    ["a page that is no page", ["report", "--out", "report.pdf"], "must end in .html"],
  ])("answers %s with exit code 2 on stderr", async (_, args, message) => {
    const measures = args.length > 0 && args[0] !== "rulr";
    const { code, stdout, stderr } = await bench(measures ? [...args, "--results", fresh()] : args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain(message);
  });
});

describe("a run", () => {
  it("writes lines, resumes, and gives the same figures for the same seed", async () => {
    const results = fresh();
    const first = await bench(["ruler", "--results", results, ...small]);
    expect(first).toMatchObject({ code: 0, stderr: "" });
    expect(first.stdout.split("\n").length).toBe(4 + 1);
    const [line] = await lines(results, "ruler");
    expect(line).toMatchObject({ schema: 1, suite: "ruler", cell: { task: "niah_single_1", length: 256, method: "full" }, seed: 1, status: "done", config: { samples: 1, style: "tiny" } });
    expect(line?.model).toMatchObject({ name: "embedded", hash: expect.stringMatching(/^sha256:[0-9a-f]{64}$/) as unknown });
    expect(line?.environment.backend?.name).toBe("cpu");
    expect(line?.commit).toMatch(/^[0-9a-f]{12}/);

    const second = await bench(["ruler", "--results", results, ...small, "--lengths", "256,320,384"]);
    expect(second.stderr).toContain("4 of 6 cells were finished before");
    const again = fresh();
    await bench(["ruler", "--results", again, ...small]);
    const figures = async (of: string) => (await lines(of, "ruler")).slice(0, 4).map((each) => each.figures);
    expect(await figures(again)).toEqual(await figures(results));
    const other = fresh();
    await bench(["ruler", "--results", other, ...small, "--seed", "2"]);
    expect(await figures(other)).not.toEqual(await figures(results));
  });

  it("takes samples up where another run ended", async () => {
    const [whole, shared] = [fresh(), fresh()];
    const run = (results: string, ...more: string[]) => bench(["ruler", "--results", results, ...small, "--lengths", "256", "--methods", "full", ...more]);
    await run(whole, "--samples", "2");
    await run(shared, "--samples", "1");
    await run(shared, "--samples", "1", "--from-sample", "1");
    const answers = async (of: string) => (await lines(of, "ruler")).flatMap(({ figures }) => figures["answers"]);
    expect(await answers(shared)).toEqual(await answers(whole));
    expect((await lines(shared, "ruler")).map(({ config }) => config["fromSample"])).toEqual([undefined, 1]);
  });

  it("records a cell that fails, runs the others, and ends with exit code 1", async () => {
    const results = fresh();
    // The wording that the embedded model knows does not exist for uuids: a crash of these cells alone.
    const { code, stdout, stderr } = await bench(["ruler", "--results", results, ...small, "--style", "tiny", "--tasks", "niah_single_3,niah_single_1"]);
    expect(code).toBe(1);
    expect(stdout).toContain("FAILED");
    expect(stderr).toContain('4 of 8 cells of ruler failed, the first (niah_single_3 · 256 · full) with: niah_single_3 has no wording "tiny"');
    expect((await lines(results, "ruler")).map(({ status }) => status)).toEqual(["failed", "done", "failed", "done", "failed", "done", "failed", "done"]);
  });

  it("stops at Ctrl-C with what it has", async () => {
    const results = fresh();
    let presses = 0;
    const onOutput = (text: string, press: () => void): void => {
      if (text.includes("ruler 1/4") && presses++ === 0) press();
    };
    expect(await bench(["ruler", "--results", results, ...small], { onOutput })).toMatchObject({ code: 130, stderr: "Stopped.\n" });
    expect((await lines(results, "ruler")).length).toBe(1);
    expect((await bench(["ruler", "--results", results, ...small])).stderr).toContain("1 of 4 cells were finished before");
  });

  it("leaves a folder that another run has alone", async () => {
    const results = fresh();
    await mkdir(results);
    await writeFile(join(results, ".lock"), JSON.stringify({ pid: process.pid, host: (await import("node:os")).hostname(), since: "2026-01-01" }));
    const { code, stderr } = await bench(["ruler", "--results", results, ...small]);
    expect(code).toBe(1);
    expect(stderr).toContain(`The results folder ${results} is in use by process ${process.pid}`);
  });

  it("says where missing data comes from, and where a line is malformed", async () => {
    const missing = await bench(["longbench", "--results", fresh(), "--tasks", "qasper", "--methods", "full", "--samples", "1", "--data", join(folder, "nothing")]);
    expect(missing.code).toBe(1);
    expect(missing.stderr).toMatch(/nothing.*(https?:\/\/|huggingface)/s);
    const all = await bench(["longbench", "--results", fresh(), "--samples", "1", "--data", join(folder, "nothing")]);
    expect(all.code).toBe(1);
    expect(all.stderr).toMatch(/narrativeqa looks for its data, as 20 other tasks do\. The data is.*Expected: one JSON object a line/);
    expect(all.stdout).toBe("");
    const data = join(folder, "data");
    await mkdir(data);
    await writeFile(join(data, "qasper.jsonl"), '{"input": 3}\n');
    const malformed = await bench(["longbench", "--results", fresh(), "--tasks", "qasper", "--methods", "full", "--samples", "1", "--data", data]);
    expect(malformed.code).toBe(1);
    expect(malformed.stderr).toMatch(/qasper\.jsonl.*1.*input/s);
  });
});

describe("tasks over data sets", () => {
  it("run on the samples that come along, and say so", async () => {
    const results = fresh();
    const args = ["--results", results, "--methods", "full", "--samples", "1", "--lengths", "512", "--max-answer", "4", "--threads", "1"];
    expect(await bench(["longbench", ...args, "--tasks", "passage_count"])).toMatchObject({ code: 0, stderr: "" });
    expect(await bench(["reasoning", ...args, "--tasks", "mmlu"])).toMatchObject({ code: 0, stderr: "" });
    expect((await lines(results, "longbench"))[0]?.figures).toMatchObject({ source: "fixture", samples: 1 });
    expect((await lines(results, "reasoning"))[0]).toMatchObject({ cell: { task: "mmlu", length: 512, method: "full" }, config: { maxAnswer: 4 }, figures: { metric: "accuracy" } });
  });
});

describe("report", () => {
  it("needs results", async () => {
    const results = fresh();
    expect((await bench(["report", "--results", results, "--out", join(folder, "x.html")])).stderr).toContain(`There is no results folder ${results}`);
    await mkdir(results);
    expect((await bench(["report", "--results", results, "--out", join(folder, "x.html")])).stderr).toContain("holds no results yet");
  });

  it("draws every section of a folder", async () => {
    const results = fresh();
    await bench(["ruler", "--results", results, ...small]);
    await bench(["needle", "--results", results, "--lengths", "256", "--methods", "full", "--threads", "1"]);
    await bench(["kernels", "--results", results, "--lengths", "2048", "--rounds", "1", "--product", "64", "--copy-mib", "1", "--rows", "4", "--threads", "1", "--lse", "approx"]);
    await bench(["roofline", "--results", results, "--lengths", "4096,65536"]);
    const out = join(folder, "report.html");
    expect(await bench(["report", "--results", results, "--out", out])).toMatchObject({ code: 0, stderr: "" });
    const page = await readFile(out, "utf8");
    expect([...page.matchAll(/<section id="([^"]+)">/g)].map(([, id]) => id)).toEqual(["ruler", "needle", "kernels-0", "roofline", "provenance"]);
    expect(page.match(/<svg /g)?.length).toBe(2 + 1 + 3 + 1);
    expect(/<script|src=|href="http|url\(http|NaN|undefined/.test(page)).toBe(false);
    const markdown = await readFile(join(folder, "report.md"), "utf8");
    expect(markdown).toContain("## RULER");
    expect(markdown).toMatch(/\| full \| [\d.]+ \|/);
  });
});
