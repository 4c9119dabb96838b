import { defineConfig } from "vitest/config";

// Tests run on sources: the condition makes every @infllm package resolve to its src folder.
const conditions = ["@infllm/source", "module", "node", "development|production", "import", "default"];

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: ["@infllm/source", "node"] } },
  test: {
    include: ["{packages,apps,tooling}/*/{src,test}/**/*.test.ts"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
  },
});
