// Draws the page's pictures: each .figure from the JSON in the script element that follows it.
"use strict";

const dark = window.matchMedia("(prefers-color-scheme: dark)");
const narrow = window.matchMedia("(max-width: 40rem)");

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function layout(own) {
  const axis = { gridcolor: color("line"), linecolor: color("line"), automargin: true };
  const legend = narrow.matches ? { orientation: "h", y: -0.35, yanchor: "top" } : {};
  const axes = Object.entries(own).map(([name, value]) => [name, name.includes("axis") ? { ...axis, ...value } : value]);
  return {
    ...Object.fromEntries(axes),
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: color("text"), family: "system-ui, sans-serif" },
    margin: { l: 40, r: 10, t: 10, b: 40 },
    hovermode: "closest",
    showlegend: true,
    legend: { itemsizing: "constant", ...legend, ...own.legend },
    autosize: true,
  };
}

// The ring around a chosen point is of the text's colour, whichever that is.
function ringed(trace) {
  const line = trace.marker?.line;
  return line?.color === "ring" ? { ...trace, marker: { ...trace.marker, line: { ...line, color: color("text") } } } : trace;
}

function draw(place) {
  const picture = JSON.parse(place.nextElementSibling.textContent);
  const config = { responsive: true, displaylogo: false, displayModeBar: false };
  return Plotly.react(place, picture.data.map(ringed), layout(picture.layout), config);
}

function drawAll() {
  return Promise.all([...document.querySelectorAll(".figure")].map(draw));
}

drawAll().then(() => {
  for (const place of document.querySelectorAll(".figure")) {
    place.on("plotly_click", ({ points }) => {
      if (points[0].customdata) location.href = points[0].customdata;
    });
  }
  document.documentElement.dataset.drawn = "true"; // tests wait for it
});
dark.addEventListener("change", drawAll);
narrow.addEventListener("change", drawAll);
