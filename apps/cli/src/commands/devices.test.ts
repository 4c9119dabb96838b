import { describe, expect, it } from "vitest";
import { infllm } from "../../test/harness.ts";
import { describeBackend } from "./devices.ts";

describe("infllm devices", () => {
  it("names every backend, with the reason and the remedy where it is not usable", async () => {
    const { code, stdout, stderr } = await infllm(["devices"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/^cpu +usable$/mu);
    for (const name of ["webgpu", "cuda"]) expect(stdout).toMatch(new RegExp(`^${name} +not usable$`, "mu"));
    expect(stdout).toContain("@infllm/backend-cuda is not installed");
    expect(stdout).toMatch(/To use it: npm install @infllm\/backend-webgpu/u);
  });

  it("prints one JSON document", async () => {
    const { stdout } = await infllm(["devices", "--json"]);
    const { backends, machine } = JSON.parse(stdout);
    expect(backends.map((each: { name: string }) => each.name)).toEqual(["cpu", "webgpu", "cuda"]);
    expect(backends[0]).toMatchObject({ usable: true, capabilities: { ops: expect.arrayContaining(["neural"]) } });
    expect(backends[1]).toMatchObject({ usable: false, reason: expect.any(String), remedy: expect.any(String) });
    expect(machine.cores).toBeGreaterThan(0);
  });

  it("keeps to the width of the terminal", () => {
    const report = { name: "cpu", usable: true, description: "word ".repeat(40), limitations: ["word ".repeat(40)] };
    for (const line of describeBackend(report, 50).split("\n")) expect(line.length).toBeLessThanOrEqual(50);
  });
});
