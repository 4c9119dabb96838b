import { describe, expect, it } from "vitest";
import { Captured } from "../testing.ts";
import { Progress, progressLine } from "./progress.ts";

describe("Progress", () => {
  it("stays silent in the first second and on pipes, and clears its line", () => {
    let time = 0;
    const terminal = new Captured(80);
    const progress = new Progress(terminal, () => time);
    progress.update("Reading", 10, 100);
    expect(terminal.text).toBe("");
    progress.clear();
    expect(terminal.text).toBe("");
    time = 1500;
    progress.update("Reading", 50, 100);
    expect(terminal.text).toContain("Reading");
    expect(terminal.text).toContain("50 %");
    expect(terminal.text).not.toContain("\n");
    progress.clear();
    expect(terminal.text.endsWith("\r\u001b[K")).toBe(true);

    const pipe = new Captured();
    const quiet = new Progress(pipe, () => time);
    time = 9000;
    quiet.update("Reading", 50, 100);
    expect(pipe.text).toBe("");
  });

  it("redraws at most ten times a second", () => {
    let time = 0;
    const terminal = new Captured(80);
    const progress = new Progress(terminal, () => time);
    for (time = 1000; time < 2000; time += 10) progress.update("Reading", time, 2000);
    expect(terminal.text.match(/Reading/gu)?.length).toBe(10);
  });
});

describe("progressLine", () => {
  it.each([10, 20, 40, 80, 200])("is shorter than %i columns", (columns) => {
    expect(progressLine("Reading the prompt", 4096, 8192, "tokens", columns).length).toBeLessThan(columns);
    expect(progressLine("Downloading", 5e9, undefined, "bytes", columns).length).toBeLessThan(columns);
  });

  it("never claims more than all", () => {
    expect(progressLine("x", 300, 200, "tokens", 80)).toContain("100 %");
  });
});
