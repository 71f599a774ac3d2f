// The merge of two saves: for each message and each setting, mine or theirs; the boxes stay editable throughout.
export function merging(editor) {
  const take = (row, whose) => {
    const box = row.querySelector(`textarea[data-${whose}]`);
    const merge = row.querySelector(".merge-row");
    const role = merge.dataset[`${whose}Role`];
    row.querySelector('[name="role"]').value = role;
    row.dataset.role = role;
    if (role) row.querySelector('textarea[name="content"]').value = box.value;
    press(merge, whose);
  };

  const set = (group, whose) => {
    const field = editor.form.elements[group.dataset.mergeField];
    if (field) field.value = group.querySelector(`[data-take="${whose}"]`).dataset.value;
    press(group, whose);
  };

  const press = (within, whose) => {
    for (const button of within.querySelectorAll("[data-take]")) button.setAttribute("aria-pressed", String(button.dataset.take === whose));
  };

  editor.addEventListener("click", (event) => {
    const one = event.target.closest("[data-take]");
    const all = event.target.closest("[data-merge-all]")?.dataset.mergeAll;
    if (!one && !all) return;
    if (one) {
      const group = one.closest("[data-merge-field]");
      if (group) set(group, one.dataset.take);
      else take(one.closest("li"), one.dataset.take);
    } else {
      for (const row of editor.querySelectorAll("li:has(> .merge-row)")) take(row, all);
      for (const group of editor.querySelectorAll("[data-merge-field]")) set(group, all);
    }
    editor.typed();
  });
}
