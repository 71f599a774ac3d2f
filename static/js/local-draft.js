// What is typed, kept in this browser until the server has it: a reload, a crash or a lost line costs nothing.
export class LocalDraft {
  constructor(key) {
    this.key = key;
  }

  read() {
    try {
      return JSON.parse(localStorage.getItem(this.key));
    } catch {
      return null;
    }
  }

  // Returns false where the browser has no room for it (its limit is about 5 million characters).
  keep(what) {
    try {
      localStorage.setItem(this.key, JSON.stringify(what));
      return true;
    } catch {
      return false;
    }
  }

  clear() {
    localStorage.removeItem(this.key);
  }
}

// After a save the server sends one on to ?saved=<version>: that number, taken out of the address; null on any other page.
export function savedVersion() {
  const address = new URL(location.href);
  const number = address.searchParams.get("saved");
  if (number === null) return null;
  address.searchParams.delete("saved");
  history.replaceState(history.state, "", address);
  return Number(number);
}
