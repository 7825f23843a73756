"use strict";
// A target that is touched stands out with all that it needs and all that needs it.
const graph = document.querySelector("svg.graph");
if (graph) {
  const nodes = [...graph.querySelectorAll(".node")];
  const lines = [...graph.querySelectorAll(".edges path")];
  const reached = (start, from, to) => {
    const seen = new Set([start]);
    for (const each of seen) {
      for (const line of lines) {
        if (line.dataset[from] === each) seen.add(line.dataset[to]);
      }
    }
    return seen;
  };
  const pick = (id) => {
    graph.classList.toggle("chosen", id !== null);
    const up = id === null ? new Set() : reached(id, "to", "from");
    const down = id === null ? new Set() : reached(id, "from", "to");
    for (const node of nodes) {
      node.classList.toggle("near", up.has(node.dataset.id) || down.has(node.dataset.id));
      node.classList.toggle("picked", node.dataset.id === id);
    }
    for (const line of lines) {
      const { from, to } = line.dataset;
      line.classList.toggle("near", (up.has(from) && up.has(to)) || (down.has(from) && down.has(to)));
    }
  };
  const touched = (event) => {
    const node = event.target.closest(".node");
    pick(node && !node.classList.contains("picked") ? node.dataset.id : null);
  };
  graph.addEventListener("click", touched);
  graph.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    touched(event);
  });
}
