// What the theme leaves out for those who read by ear or move by keyboard.
const mend = () => {
  document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
  for (const part of document.querySelectorAll(".md-typeset__scrollwrap, .md-typeset pre > code")) part.tabIndex = 0;
  for (const part of document.querySelectorAll(".md-code__nav")) part.setAttribute("role", "none"); // buttons, no landmark
};
document.addEventListener("DOMContentLoaded", () => {
  mend();
  new MutationObserver(mend).observe(document.body, { childList: true, subtree: true });
});
