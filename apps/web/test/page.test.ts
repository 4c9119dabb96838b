/** The page from end to end in headless Chromium: on WASM where texts are long, on WebGPU (SwiftShader) where they are short. */
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe } from "vitest";
import { startFixture } from "./fixture.ts";
import type { Fixture } from "./fixture.ts";
import { asking } from "./suites/asking.ts";
import { everyone } from "./suites/everyone.ts";
import { gpu } from "./suites/gpu.ts";
import { models } from "./suites/models.ts";

let started: Fixture | undefined;
beforeAll(async () => {
  started = await startFixture();
}, 240_000);
afterAll(() => started?.close());

/** Tests are listed before the page is there. */
const at: Fixture = {
  get browser(): Browser {
    return ready().browser;
  },
  get url() {
    return ready().url;
  },
  get folder() {
    return ready().folder;
  },
  get files() {
    return ready().files;
  },
  onCpu: (more) => ready().onCpu(more),
  close: () => ready().close(),
};

function ready(): Fixture {
  if (started === undefined) throw new Error("the page was not started");
  return started;
}

describe("a visitor", () => asking(at));
describe("a visitor's model", () => models(at));
describe("the page's backend", () => gpu(at));
describe("the page", () => everyone(at));
