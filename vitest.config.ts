import { defineConfig } from "vitest/config";

// Tests run on sources: the condition makes every @infllm package resolve to its src folder. TEST_BUILT=1 tests dist.
const source = process.env["TEST_BUILT"] ? [] : ["@infllm/source"];
const conditions = [...source, "module", "node", "development|production", "import", "default"];

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: [...source, "node"] } },
  test: {
    include: ["{packages,apps,tooling}/*/{src,test}/**/*.test.ts"],
    reporters: ["default", "./tooling/vitest/count-reporter.ts"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
  },
});
