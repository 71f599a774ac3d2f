// HTML that the server draws, fetched to be put into the page.

export function fragment(text) {
  const box = document.createElement("template");
  box.innerHTML = text;
  return box.content;
}

// Null where nothing came: the line is down or broke off half way, or access is gone (the socket says which).
export async function fetchHtml(url, headers = { "HX-Request": "true" }) {
  try {
    const response = await fetch(url, { headers });
    return response.ok && !response.redirected ? fragment(await response.text()) : null;
  } catch {
    return null;
  }
}
