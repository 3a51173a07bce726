// Signing in: asks only when the server does not know the browser yet.

import { byId } from "./dom.js";

let asking = null;

/** The session's facts of `api/me`; shows the form, with why it asks, until the server takes it. */
export async function signIn(api, why = "") {
  try {
    return await api.me();
  } catch (error) {
    if (error.status !== 401) throw error;
  }
  asking ??= ask(api, why).finally(() => { asking = null; });
  return asking;
}

function ask(api, why) {
  const [dialog, form, failed] = [byId("login"), byId("login-form"), byId("login-error")];
  failed.textContent = why;
  if (!dialog.open) dialog.showModal();
  // Escape would leave a page that can do nothing.
  dialog.oncancel = (event) => event.preventDefault();
  return new Promise((resolve) => {
    form.onsubmit = async (event) => {
      event.preventDefault();
      try {
        const me = await api.login({ token: form.elements.token.value, reviewer: form.elements.reviewer.value.trim() });
        form.elements.token.value = "";
        dialog.close();
        resolve(me);
      } catch (error) {
        failed.textContent = [error.message, error.hint].filter(Boolean).join(" ");
      }
    };
  });
}
