import { defineConfig } from "vite";
import { contentSecurityPolicy, isolation } from "./build/headers.ts";
import { licenses } from "./build/licenses.ts";
import { offlineFiles } from "./build/offline-files.ts";
import { withoutNode } from "./build/without-node.ts";

export default defineConfig({
  // Relative, so that the built folder works under any path of any static host.
  base: "./",
  resolve: { conditions: ["@infllm/source", "module", "browser", "development|production"] },
  plugins: [withoutNode(), contentSecurityPolicy(), offlineFiles()],
  worker: { format: "es", plugins: () => [withoutNode(), licenses()] },
  build: {
    target: "es2022",
    // Data files stay files: they are fetched with progress and kept for offline use.
    assetsInlineLimit: 0,
    sourcemap: true,
    rolldownOptions: {
      input: { index: "index.html", sw: "src/service-worker.ts" },
      // A service worker rules over its own folder, so its name has none and never changes.
      output: { entryFileNames: (chunk) => (chunk.name === "sw" ? "sw.js" : "assets/[name]-[hash].js") },
    },
  },
  server: { headers: isolation },
  preview: { headers: isolation },
});
