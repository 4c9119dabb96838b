/** Registers the service worker that serves the page without a network. */
import type { Notices } from "./ui/notices.ts";

/** Not while developing, where it would serve yesterday's files. */
export function keepOffline(notices: Notices): void {
  if (import.meta.env.DEV) return;
  if (!("serviceWorker" in navigator)) {
    notices.say("offline", "This page will not be there offline: it was not served over https or from localhost, or this browser has no service workers.");
    return;
  }
  navigator.serviceWorker.register("./sw.js").catch((error: unknown) => {
    notices.say("offline", `This page will not be there offline: ${error instanceof Error ? error.message : String(error)}`);
  });
}
