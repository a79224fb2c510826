// Draws the page's pictures: each .figure from the JSON in the script element that follows it.
"use strict";

const dark = window.matchMedia("(prefers-color-scheme: dark)");
const narrow = window.matchMedia("(max-width: 40rem)");

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

// On a narrow screen a legend below takes the place of names beside the lines, and there is no room for an inset.
function layout(own) {
  const axis = { gridcolor: color("line"), linecolor: color("line"), automargin: true };
  const { annotations, yrange, shapes, ...rest } = own;
  const labelled = annotations && !narrow.matches;
  const legend = narrow.matches ? { orientation: "h", y: -0.25, yanchor: "top" } : {};
  const kept = Object.entries(rest).filter(([name]) => !(narrow.matches && name.endsWith("axis2") && rest.xaxis2));
  const axes = kept.map(([name, value]) => [name, name.includes("axis") ? { ...axis, ...value } : value]);
  const placed = Object.fromEntries(axes);
  if (narrow.matches && rest.xaxis2) placed.xaxis = { ...placed.xaxis, domain: [0, 1] };
  if (yrange) placed.yaxis = { ...placed.yaxis, range: yrange };
  return {
    ...placed,
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: color("text"), family: "system-ui, sans-serif" },
    margin: { l: 40, r: labelled ? 200 : 10, t: 10, b: 40 },
    hovermode: "closest",
    showlegend: !labelled,
    annotations: labelled ? annotations : [],
    shapes: narrow.matches ? [] : shapes,
    legend: { itemsizing: "constant", ...legend, ...own.legend },
    autosize: true,
  };
}

function draw(place) {
  const themed = place.nextElementSibling.textContent
    .replaceAll("colour-text", color("text"))
    .replaceAll("colour-other", color("other"));
  const picture = JSON.parse(themed);
  const traces = narrow.matches ? picture.data.filter((trace) => trace.xaxis !== "x2") : picture.data;
  const config = { responsive: true, displaylogo: false, displayModeBar: false };
  return Plotly.react(place, traces, layout(picture.layout), config);
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
