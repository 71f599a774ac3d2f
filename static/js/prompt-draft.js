// What is typed into a form, kept in this browser until the server has it: a reload, a crash or a lost line costs nothing.
const NOT_KEPT = new Set(["csrfmiddlewaretoken", "prompt"]);

export class LocalDraft {
  constructor(key) {
    this.key = `prompt-draft:${key}`;
  }

  read() {
    try {
      return JSON.parse(localStorage.getItem(this.key));
    } catch {
      return null;
    }
  }

  // Returns false where the browser has no room for it (its limit is about 5 million characters).
  keep(form) {
    const entries = [...new FormData(form)].filter(([name, value]) => !NOT_KEPT.has(name) && typeof value === "string");
    try {
      localStorage.setItem(this.key, JSON.stringify(entries));
      return true;
    } catch {
      return false;
    }
  }

  clear() {
    localStorage.removeItem(this.key);
  }
}
