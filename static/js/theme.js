// Runs before the first paint, so that the chosen theme and rail never flash.
{
  const theme = localStorage.getItem("theme");
  if (theme) document.documentElement.dataset.theme = theme;
  if (localStorage.getItem("chat-panel") === "closed") document.documentElement.dataset.chatPanel = "closed";
  if (localStorage.getItem("rail") === "small") document.documentElement.dataset.railSize = "small";
}
