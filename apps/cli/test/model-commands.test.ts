/** The commands that run the embedded model. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { infllm } from "./harness.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "infllm-cli-"));
});
afterAll(() => rm(folder, { recursive: true }));

const fact = "The special magic number for teapot is: 1234567.";
const question = `${fact} Tea was served at five.\n\nWhat is the special magic number for teapot?`;

describe("infllm demo", () => {
  it("asks dense and sparse and reports both as one JSON document", async () => {
    const { code, stdout, stderr } = await infllm(["demo", "--tokens", "1800", "--depth", "30%", "--json"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const found = JSON.parse(stdout);
    expect(found).toMatchObject({
      tokens: 1800,
      depth: 0.3,
      question: expect.stringMatching(/^What is the special magic number for [a-z]+ mentioned in the text above\?$/u),
      dense: { answer: found.expected, correct: true },
      sparse: { answer: found.expected, correct: true, same: true },
      selection: { blockSize: 64 },
    });
    for (const mode of ["dense", "sparse"]) {
      for (const figure of ["prefillSeconds", "decodeSeconds", "prefillTokensPerSecond", "decodeTokensPerSecond"]) {
        expect(found[mode][figure]).toBeGreaterThan(0);
      }
    }
    expect(found.prefillRatio).toBeCloseTo(found.dense.prefillSeconds / found.sparse.prefillSeconds, 6);
    expect(found.dense.visibleTokens).toBeGreaterThanOrEqual(1800);
    // 24 blocks of 64 at most, the query's own one filled in part.
    expect(found.sparse.visibleTokens).toBeLessThanOrEqual(1536);
    expect(found.sparse.visibleTokens).toBeGreaterThan(23 * 64);
    expect(found.kvBytes).toBeGreaterThan(1800 * 8 * 2 * 64 * 2);
    expect(found.selection.layers).toHaveLength(8);
    for (const [blocks] of found.selection.layers) expect(blocks).toHaveLength(24);
  });

  it("prints both answers and draws the blocks, within the terminal's width", async () => {
    const { code, stdout } = await infllm(["demo", "--tokens", "600", "--seed", "4"], { columns: 60, env: { LANG: "C" } });
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Dense: {2}The special magic number/mu);
    expect(stdout).toMatch(/^Sparse: The special magic number/mu);
    expect(stdout).toMatch(/^prefill .* s .*x$/mu);
    expect(stdout).toMatch(/^ +0 {2}#/mu);
    expect(stdout).toContain("^ the fact");
    for (const line of stdout.split("\n")) expect(line.length).toBeLessThanOrEqual(66);
  });

  it.each([
    ["--tokens", "100", "from 256 to"],
    ["--tokens", "40000", "from 256 to"],
    ["--depth", "1.5", "from 0 to 1"],
    ["--depth", "150%", "0% to 100%"],
    ["--seed", "-1", "of at least 0"],
    ["--threads", "0", "from 1 to 256"],
  ])("refuses %s %s with what is allowed", async (flag, value, message) => {
    const { code, stdout, stderr } = await infllm(["demo", flag, value]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain(message);
  });
});

describe("infllm generate", () => {
  it("answers from --prompt, --prompt-file and standard input alike", async () => {
    const file = join(folder, "prompt.txt");
    await writeFile(file, `${question}\n`);
    const answer = { code: 0, stdout: `${fact}\n`, stderr: "" };
    expect(await infllm(["generate", "--prompt", question])).toEqual(answer);
    expect(await infllm(["generate", "--prompt-file", file])).toEqual(answer);
    expect(await infllm(["generate"], { stdin: `${question}\r\n` })).toEqual(answer);
  });

  it("reports text and statistics as JSON", async () => {
    const { stdout } = await infllm(["generate", "--prompt", question, "--json", "--attention", "sparse"]);
    expect(JSON.parse(stdout)).toMatchObject({
      text: fact,
      stats: { sparse: true, cachedTokens: 0, stopReason: "eos", generatedTokens: expect.any(Number) },
    });
  });

  it("prints statistics to stderr", async () => {
    const { stdout, stderr } = await infllm(["generate", "--prompt", question, "--stats", "--max-tokens", "5"]);
    expect(stdout).toMatch(/^The special magic/u);
    expect(stderr).toMatch(/prompt +\d+ tokens/u);
    expect(stderr).toContain("5 tokens");
    expect(stderr).toContain("stopped by --max-tokens");
    expect(stderr).toMatch(/^a token +the first after [\d.]+ m?s, then [\d.]+ [mu]s \(90 % within [\d.]+ [mu]s, 99 % within/mu);
    expect(stderr).toMatch(/^memory +weights .*, KV cache .*, compressed keys .*, buffers .*, scratch /mu);
    expect(stderr).not.toContain("op by op");
  });

  it("tells where the time goes", async () => {
    const { stdout, stderr } = await infllm(["generate", "--prompt", question, "--profile", "--max-tokens", "5"]);
    expect(stdout).toMatch(/^The special magic/u);
    for (const name of ["attention", "selection", "products", "other", "  linear", "  attendDense", "  sample"]) {
      expect(stderr).toMatch(new RegExp(`^${name} +[\\d.]+ [mu]?s +[\\d.]+ % +[\\d.]+ [mu]s +[\\d.]+ %$`, "mu"));
    }
  });

  it("drafts where the text repeats, and answers the same", async () => {
    const args = ["generate", "--raw", "--prompt", "one two three four five six seven eight nine ten. ".repeat(6), "--max-tokens", "60"];
    const plain = await infllm(args);
    const { code, stdout, stderr } = await infllm([...args, "--speculate", "5", "--ngrams", "2,3", "--stats"]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: plain.stdout });
    expect(stderr).toMatch(/^drafts +\d+ of \d+ tokens accepted, in \d+ passes$/mu);
  });

  it.each([
    [["--speculate", "0"], "from 1 to 63"],
    [["--speculate", "--ngrams", "3,1"], "the shorter one first, such as 1,3"],
    [["--speculate", "--ngrams", "9"], "from 1 to 8"],
    [["--ngrams", "1,2"], "it needs --speculate"],
  ])("refuses %j with what is allowed", async (flags, message) => {
    const { code, stdout, stderr } = await infllm(["generate", "--prompt", question, ...flags]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain(message);
  });

  it("continues raw text, the same for the same seed", async () => {
    const args = ["generate", "--raw", "--prompt", "Call me", "--max-tokens", "12", "--temperature", "1", "--top-k", "50", "--top-p", "0.9"];
    const first = await infllm([...args, "--seed", "5"]);
    expect(first.code).toBe(0);
    expect(await infllm([...args, "--seed", "5"])).toEqual(first);
    expect((await infllm([...args, "--seed", "6"])).stdout).not.toBe(first.stdout);
  });

  it("takes other numbers for sparse attention", async () => {
    const prompt = `${"Tea was served at five. ".repeat(60)}${question}`;
    const numbers = ["--blocks", "2", "--window", "64", "--dense-len", "0", "--lse", "exact", "--max-tokens", "2"];
    const { stdout } = await infllm(["generate", "--prompt", prompt, "--json", ...numbers]);
    const { stats } = JSON.parse(stdout);
    expect(stats.sparse).toBe(true);
    expect(stats.visibleTokens).toBeLessThanOrEqual(3 * 64);
  });

  it("stops on Ctrl-C with what it has written", async () => {
    const { code, stdout, stderr } = await infllm(["generate", "--raw", "--prompt", "Once", "--max-tokens", "4000"], {
      onOutput: (text, press) => {
        if (text.length > 20) press();
      },
    });
    expect({ code, stderr }).toEqual({ code: 130, stderr: "Stopped.\n" });
    expect(stdout.length).toBeGreaterThan(20);
    expect(stdout.endsWith("\n")).toBe(true);
  });

  it.each<[string, string[], string | undefined, number, string]>([
    ["an empty prompt", ["--prompt", ""], undefined, 2, "The prompt from --prompt is empty"],
    ["empty input", [], "\n", 2, "standard input is empty"],
    ["two prompts", ["--prompt", "a", "--prompt-file", "b"], undefined, 2, "cannot be used with"],
    ["a missing file", ["--prompt-file", "/nowhere/x"], undefined, 1, "/nowhere/x cannot be read: there is no such file"],
    ["a missing model", ["--prompt", "a", "--model", "/nowhere/model"], undefined, 1, "/nowhere/model"],
    ["a prompt beyond the context", ["--prompt", question, "--context", "20"], undefined, 1, "but the context holds 20, the answer included. Shorten it, or make room with --context"],
    ["windows of broken blocks", ["--prompt", "a", "--window", "100"], undefined, 2, "no multiple of blockSize 64"],
    ["a negative temperature", ["--prompt", "a", "--temperature", "-1"], undefined, 2, "from 0 to 100"],
    ["a top-p of 0", ["--prompt", "a", "--top-p", "0"], undefined, 2, "to 1"],
    ["an unknown LSE", ["--prompt", "a", "--lse", "fast"], undefined, 2, "exact, approx"],
    ["a stray word", ["--prompt", "a", "b"], undefined, 2, "too many arguments"],
  ])("refuses %s", async (_, args, stdin, exitCode, message) => {
    const { code, stdout, stderr } = await infllm(["generate", ...args], stdin === undefined ? {} : { stdin });
    expect(stderr).toContain(message);
    expect({ code, stdout }).toEqual({ code: exitCode, stdout: "" });
  });
});

describe("infllm chat", () => {
  it("keeps the conversation in the cache between turns", async () => {
    const stdin = `${fact} What is the special magic number for teapot?\n/stats\n\nWhat is it?\n/stats\n/exit\nnever read\n`;
    const { code, stdout, stderr } = await infllm(["chat"], { stdin });
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout.split(fact).length - 1).toBeGreaterThanOrEqual(1);
    const cached = /cached +(\d+) more tokens/u.exec(stdout);
    expect(Number(cached?.[1])).toBeGreaterThan(40);
  });

  it("forgets after /reset, lists its commands, and names unknown ones", async () => {
    const { stdout } = await infllm(["chat", "--max-tokens", "3"], { stdin: "Hello\n/reset\n/help\n/nonsense\nHello\n/stats\n" });
    expect(stdout).toContain("starts afresh");
    expect(stdout).toContain("/exit");
    expect(stdout).toContain("Unknown command /nonsense");
    expect(stdout).not.toContain("cached");
  });

  it("says when the context is full, and goes on after /reset", async () => {
    const long = "Tea was served at five. ".repeat(20);
    const { code, stdout, stderr } = await infllm(["chat", "--context", "60"], { stdin: `${long}\n/reset\n${question.replaceAll("\n", " ")}\n` });
    expect(code).toBe(0);
    expect(stderr).toMatch(/would have \d+ tokens .* holds 60\. Type \/reset/u);
    expect(stdout).toContain("The special magic number");
  });

  it("stops only the answer on Ctrl-C", async () => {
    let pressed = false;
    const { code, stdout, stderr } = await infllm(["chat", "--max-tokens", "4000"], {
      stdin: `Tell me a long story about a ship.\n/reset\n${question.replaceAll("\n", " ")}\n`,
      onOutput: (text, press) => {
        if (pressed || text.trim() === "") return;
        pressed = true;
        press();
      },
    });
    expect(code).toBe(0);
    expect(stderr).toBe("(stopped)\n");
    expect(stdout).toContain(fact);
  });
});

describe("infllm inspect", () => {
  it("describes the embedded model and its memory", async () => {
    const { code, stdout } = await infllm(["inspect", "--context", "4096,32768"]);
    expect(code).toBe(0);
    expect(stdout).toContain("10,227,968");
    expect(stdout).toContain("sparse from 4,096 tokens on");
    expect(stdout).toMatch(/^32,768 .* 1,536 \(5 %\)$/mu);
  });

  it("prints JSON, exact for a backend", async () => {
    const { stdout } = await infllm(["inspect", "embedded", "--context", "2000", "--backend", "cpu", "--json"]);
    const found = JSON.parse(stdout);
    expect(found).toMatchObject({ architecture: "llama", parameters: 10_227_968, sparse: { topk: 16, denseLen: 4096 } });
    expect(found.memory).toHaveLength(1);
    const { weights, kvCache, compressedKeys, activations, total } = found.memory[0].memory;
    expect(total).toBe(weights + kvCache + compressedKeys + activations);
    expect(compressedKeys).toBeGreaterThan(0);
    expect(found.memory[0].visibleTokens).toBe(2000);
  });

  it("shows what another type of KV cache takes", async () => {
    const bytes = async (...args: readonly string[]): Promise<number> => {
      const { stdout } = await infllm(["inspect", "embedded", "--context", "8192", "--json", ...args]);
      return JSON.parse(stdout).memory[0].memory.kvCache;
    };
    expect(await bytes("--kv-cache", "q8")).toBe((await bytes()) - 8 * 8192 * 2 * (128 - 66));
    expect(await bytes("--kv-cache", "q8", "--backend", "cpu")).toBeLessThan(0.6 * (await bytes("--kv-cache", "f16", "--backend", "cpu")));
  });

  it.each([
    ["/nowhere/model", [], 1, "/nowhere/model"],
    ["embedded", ["--kv-cache", "int8"], 2, "f32, f16, bf16, q8"],
    ["embedded", ["--context", "0"], 2, "whole number"],
    ["embedded", ["--backend", "gpu"], 2, "cpu, cuda, webgpu, reference, auto"],
  ])("refuses %s %j", async (model, args, exitCode, message) => {
    const { code, stderr } = await infllm(["inspect", model, ...args]);
    expect(code).toBe(exitCode);
    expect(stderr).toContain(message);
  });
});
