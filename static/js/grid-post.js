// A POST from the grid's own scripts, with the token that htmx sends too. What is refused is said in a toast.
import { toast } from "./toast.js";

export async function post(url, fields) {
  const headers = { ...JSON.parse(document.body.getAttribute("hx-headers:inherited")), "HX-Request": "true" };
  const response = await fetch(url, { method: "POST", headers, body: new URLSearchParams(fields) }).catch(() => null);
  if (!response) {
    toast("The studio cannot be reached just now. Nothing was changed; try again in a moment.");
    return null;
  }
  const told = response.headers.get("HX-Trigger");
  for (const [name, detail] of told?.startsWith("{") ? Object.entries(JSON.parse(told)) : told ? [[told, null]] : []) {
    document.dispatchEvent(new CustomEvent(name, { detail }));
  }
  if (!response.ok) {
    const plain = response.headers.get("Content-Type")?.startsWith("text/plain");
    toast(plain ? await response.text() : "This could not be done. Reload the page and try again.");
  }
  return response;
}
