// The page of one grid: its parts, and what they share.
import "./chat-message.js";
import "./feedback.js";
import "./grid-forms.js";
import "./grid-panel.js";
import "./grid-sheet.js";
import "./json-tree.js";
import "./presence.js";
