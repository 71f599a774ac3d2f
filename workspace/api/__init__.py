"""The prompt workspace for programs: /api in our own words, /api/public in Langfuse's, /v1/responses in OpenAI's."""
