/** First script of the page: sees that the page is isolated, then starts it; in a frame that cannot be, also a button. */

import { isolate, offerTab } from "../sdk/src/service_worker_start.js";

const isolated = await isolate();
await import("./main.js");
if (!isolated && isSecureContext && window.top !== window) offerTab(document.getElementById("failure") ?? document.body);

export {};
