// All functions are defined: build the page. Folded parts are printed unfolded.

({ run: run_page, sweep: sweep_page })[DATA.kind](DATA);
window.addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("details")) part.open = true;
});
