// The operator's place: what they look at stays where it is while the list changes above it.

const ATTENDING = 10000; // ms since the last touch, key or move of the pointer in the list

export class Place {
  constructor(body) {
    this.body = body;
    this.pointed = null;
    this.moved = -Infinity;
    const note = (event) => {
      this.pointed = event.target.closest("tr");
      this.moved = performance.now();
    };
    for (const kind of ["pointermove", "pointerdown", "keydown", "focusin"]) body.addEventListener(kind, note, { passive: true });
    body.addEventListener("pointerleave", () => (this.pointed = null));
  }

  get attending() {
    return performance.now() - this.moved < ATTENDING;
  }

  // The row in which somebody is at work, if any.
  row() {
    const focused = document.activeElement;
    if (this.body.contains(focused)) return focused.closest("tr");
    return this.attending && this.pointed?.isConnected ? this.pointed : null;
  }

  // Call before a change and the answer after it.
  hold() {
    const held = (this.attending && this.row()) || this.firstSeen();
    const top = held?.getBoundingClientRect().top;
    return () => {
      if (!held?.isConnected) return;
      const moved = held.getBoundingClientRect().top - top;
      if (Math.abs(moved) >= 1) window.scrollBy({ top: moved, behavior: "instant" });
    };
  }

  // What somebody who has scrolled down sees first: a row, or what is below the list.
  firstSeen() {
    if (this.body.getBoundingClientRect().top >= 0) return null;
    const seen = [...this.body.children].find((row) => row.getBoundingClientRect().bottom > 0);
    return seen ?? this.body.closest(".panel").nextElementSibling;
  }
}
