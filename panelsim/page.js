// Brings what the panel shows up to date every second, and leaves the form alone,
// in which somebody may be typing. Without this file the page works as well; it has
// a link that refreshes it.
"use strict";
const live = ["panel", "doors", "log"];
async function refresh() {
  try {
    const answer = await fetch("/", { headers: { Accept: "text/html" } });
    const now = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const id of live) {
      const shown = document.getElementById(id), fresh = now.getElementById(id);
      if (shown && fresh && shown.innerHTML !== fresh.innerHTML) shown.replaceWith(fresh);
    }
  } catch {
    // The panel is off; what was last seen stays.
  }
  setTimeout(refresh, 1000);
}
setTimeout(refresh, 1000);
