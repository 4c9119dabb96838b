/** `infllm quantize`, and the commands on the folder that it writes. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cpuBackend } from "@infllm/backend-cpu";
import { demoText } from "@infllm/demo-text";
import { loadModel } from "@infllm/model";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { infllm } from "./harness.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "infllm-quantize-"));
});
afterAll(() => rm(folder, { recursive: true }));

const fact = "The special magic number for teapot is: 1234567.";
const question = `${fact} Tea was served at five.\n\nWhat is the special magic number for teapot?`;

/** Mean negative log-likelihood of 512 tokens from the middle of the book, in nats. */
async function nll(source: string): Promise<number> {
  const backend = await cpuBackend({ threads: 2 });
  const model = await loadModel(source, { backend, contextLength: 512 });
  try {
    const text = (await demoText()).slice(200_000, 204_000);
    const { logProbs } = await model.score(model.tokenizer.encode(text).slice(0, 512));
    return -logProbs.reduce((sum, value) => sum + value, 0) / logProbs.length;
  } finally {
    await model.close();
    await backend.close();
  }
}

describe("infllm quantize", () => {
  it("writes a folder that answers, and that inspect describes", async () => {
    const out = join(folder, "rtn");
    const { code, stdout, stderr } = await infllm(["quantize", "embedded", "--out", out, "--bits", "4", "--group", "128", "--json"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const written = JSON.parse(stdout);
    expect(written).toMatchObject({ model: "embedded", method: "rtn", bits: 4, group: 128 });
    // 9.2 million weights in 4.25 bits and a little, a million as they were.
    expect(written.bytes).toBeLessThan(7.1e6);
    const inspected = await infllm(["inspect", out]);
    expect(inspected.stdout).toContain("9,175,040 q4_g128");
    expect(inspected.stdout).toMatch(/^quantised +GPTQ, 4 bits, groups of 128$/mu);
    expect((await infllm(["generate", "--model", out, "--prompt", question])).stdout).toMatch(/teapot is: 1234567/);
  });

  it("takes a text for gptq", async () => {
    const [out, text] = [join(folder, "gptq"), join(folder, "book.txt")];
    await writeFile(text, (await demoText()).slice(0, 4000));
    const { code, stdout } = await infllm(["quantize", "embedded", "--out", out, "--method", "gptq", "--calibration", text, "--tokens", "512"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Wrote .*gptq, 6\.\d\d MiB\. Run it with: infllm generate --model .*gptq\n$/u);
    expect((await infllm(["generate", "--model", out, "--prompt", question])).stdout).toMatch(/teapot is: 1234567/);
    // On a part of the book that it has not read: measured 0.16 nats here.
    const [own, nearest] = [await nll(out), await nll(join(folder, "rtn"))];
    expect(own).toBeLessThan(nearest - 0.05);
  });

  it("refuses what cannot be, and says what can", async () => {
    const out = join(folder, "refused");
    const cases: [string[], number, string][] = [
      [["embedded"], 2, "--out"],
      [["embedded", "--out", out, "--bits", "8"], 2, "Allowed choices are 4"],
      [["embedded", "--out", out, "--group", "32"], 2, "Allowed choices are 128"],
      [["embedded", "--out", out, "--method", "awq"], 2, "Allowed choices are rtn, gptq"],
      [["embedded", "--out", out, "--method", "gptq"], 2, "needs --calibration"],
      [["embedded", "--out", out, "--tokens", "5"], 2, "are for --method gptq"],
      [["embedded", "--out", out, "--method", "gptq", "--calibration", join(folder, "absent.txt")], 1, "absent.txt"],
      [[join(folder, "rtn"), "--out", out], 1, "packed already (GPTQ, 4 bits, groups of 128)"],
    ];
    for (const [args, exitCode, message] of cases) {
      const { code, stdout, stderr } = await infllm(["quantize", ...args]);
      expect(stderr).toContain(message);
      expect({ code, stdout }).toEqual({ code: exitCode, stdout: "" });
    }
  });
});

describe("--thinking and --no-thinking", () => {
  it("reach a template that has the switch", async () => {
    const path = join(folder, "rtn", "tokenizer_config.json");
    const config = JSON.parse(await readFile(path, "utf8"));
    const template = "{{ bos_token }}{{ messages[0].content }}{% if enable_thinking is defined and enable_thinking is false %} at once:{% endif %}";
    await writeFile(path, JSON.stringify({ ...config, chat_template: template }));
    const tokens = async (...flags: string[]): Promise<number> => {
      const { stdout } = await infllm(["generate", "--model", join(folder, "rtn"), "--prompt", "Tea", "--max-tokens", "1", "--json", ...flags]);
      return JSON.parse(stdout).stats.promptTokens;
    };
    const [plain, thinking, not] = [await tokens(), await tokens("--thinking"), await tokens("--no-thinking")];
    expect(thinking).toBe(plain);
    expect(not).toBeGreaterThan(plain);
    const chat = await infllm(["chat", "--model", join(folder, "rtn"), "--no-thinking", "--max-tokens", "1"], { stdin: "Tea\n/stats\n" });
    expect(chat.stdout).toContain(`prompt     ${not} tokens`);
  });

  it("are refused where they would do nothing", async () => {
    for (const command of [["generate", "--prompt", "x"], ["chat"]]) {
      const { code, stdout, stderr } = await infllm([...command, "--no-thinking"], { stdin: "x\n" });
      expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
      expect(stderr).toContain("--no-thinking has no effect on");
    }
    expect((await infllm(["generate", "--prompt", "x", "--raw", "--thinking"])).stderr).toContain("--raw goes without a chat template");
  });
});
