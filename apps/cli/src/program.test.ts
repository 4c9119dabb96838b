import { describe, expect, it } from "vitest";
import { infllm } from "../test/harness.ts";
import { version } from "../package.json";
import { commands } from "./commands/index.ts";

const names = ["demo", "generate", "chat", "inspect", "attention", "devices", "pull", "convert", "quantize"];

describe("infllm", () => {
  it("has its commands", async () => {
    const { code, stdout } = await infllm(["--help"]);
    expect(code).toBe(0);
    expect(commands.length).toBe(names.length);
    for (const name of names) expect(stdout).toMatch(new RegExp(`^  ${name}\\b`, "mu"));
  });

  it.each(names)("%s --help shows an example of itself", async (name) => {
    const { code, stdout, stderr } = await infllm([name, "--help"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(new RegExp(`Examples?:[\\s\\S]*\\binfllm ${name}`, "u"));
  });

  it("prints its version", async () => {
    expect(await infllm(["--version"])).toEqual({ code: 0, stdout: `${version}\n`, stderr: "" });
  });

  it.each([
    ["no command", [], "Usage: infllm"],
    ["a mistyped command", ["demmo"], "Did you mean demo?"],
    ["a mistyped option", ["generate", "--promt", "x"], "Did you mean --prompt?"],
    ["an unknown backend", ["demo", "--backend", "tpu"], "Allowed choices are cpu, cuda, webgpu, reference"],
    ["an unwanted argument", ["devices", "cpu"], "too many arguments"],
  ])("answers %s with exit code 2 on stderr", async (_, args, message) => {
    const { code, stdout, stderr } = await infllm(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain(message);
  });
});
