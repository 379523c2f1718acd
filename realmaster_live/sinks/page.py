"""The one page of the live view; it loads nothing from elsewhere, and works below any path."""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>RealMaster live</title>
<style>
:root { color-scheme: dark; font: 15px/1.5 system-ui, sans-serif; }
body { margin: 0; min-height: 100vh; background: #14161a; color: #e6e8eb;
  display: flex; flex-direction: column; align-items: center; }
main { width: min(96vw, 1600px); padding-top: 1.2rem; }
h1 { font-size: 1.05rem; font-weight: 600; margin: 0 0 .8rem; }
.names { display: grid; grid-template-columns: 1fr 1fr; color: #9aa3ad; padding-bottom: .35rem; }
img { display: block; width: 100%; background: #000; border-radius: 6px; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .8rem;
  margin: 1rem 0; }
dl div { background: #1e2127; border-radius: 6px; padding: .6rem .9rem; }
dt { color: #9aa3ad; font-size: .82rem; }
dd { margin: 0; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
#state { color: #f0b35a; min-height: 1.5em; margin: 0; }
</style>
</head>
<body>
<main>
<h1>RealMaster live</h1>
<div class="names"><span>simulator</span><span>realized</span></div>
<img id="live" src="live.mjpg" alt="the rendered and the realized picture side by side">
<dl>
<div><dt>pictures a second</dt><dd id="fps">&ndash;</dd></div>
<div><dt>capture to screen</dt><dd id="latency_ms">&ndash;</dd></div>
<div><dt>frame</dt><dd id="frame_id">&ndash;</dd></div>
<div><dt>lost before the view</dt><dd id="lost">&ndash;</dd></div>
<div><dt>dropped by the view</dt><dd id="dropped">&ndash;</dd></div>
</dl>
<p id="state"></p>
</main>
<script>
const units = { fps: v => v.toFixed(1), latency_ms: v => v.toFixed(0) + " ms" };
async function poll() {
  const state = document.getElementById("state");
  try {
    const stats = await (await fetch("stats.json")).json();
    for (const [name, value] of Object.entries(stats)) {
      const place = document.getElementById(name);
      if (place) place.textContent = (units[name] || String)(value);
    }
    state.textContent = stats.shown ? "" : "waiting for the first picture";
  } catch (error) {
    state.textContent = "the run has ended";
    return;
  }
  setTimeout(poll, 500);
}
poll();
</script>
</body>
</html>
"""
